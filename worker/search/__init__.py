"""Search: the sentences of a note that answer a query, with a probability each.

Holds query intents, lexical similarity and score fusion.
"""
