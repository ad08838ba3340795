"""Sources of notes: files, folders, standard input and SQL queries; also what is new in them.

Chooses the reader by name and content.
"""
