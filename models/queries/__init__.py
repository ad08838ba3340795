"""Every read from the database: progress, results, browsing, exports, backlog.

Returns values and dictionaries, never rows or sessions.
"""
