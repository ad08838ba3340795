"""Converts a record of a source into a document, or into the reason for its refusal.

Holds columns, table presets, JSON values and byte streams.
"""
