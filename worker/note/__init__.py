"""The text of a note: sentences, section headings, windows, words and numbers, with character offsets.

Pure functions over text; does not import an engine, a queue or a database.
"""
