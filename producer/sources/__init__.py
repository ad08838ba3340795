"""What a SOURCE argument names: files, folders, standard input, SQL queries, and what is new in them.

Chooses the reader by name and content.
"""
