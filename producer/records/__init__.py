"""From one record of a source to a document, or to the reason why it is refused.

Holds columns, table presets, JSON values and byte streams.
"""
