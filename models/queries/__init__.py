"""Every read from the database: progress, results, exports, backlog, browser pages, nightly runs.

Returns values and dictionaries, never rows or sessions.
"""
