"""Summaries, extractive and abstractive, each sentence with its sources in the note.

Holds sentence selection, mention lists and the faithfulness check of written text.
"""
