"""Search: the sentences of a note that answer a query, with a probability each.

Contains query intents, lexical similarity and score fusion.
"""
