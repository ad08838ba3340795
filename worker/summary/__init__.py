"""Summaries, extractive and abstractive; each sentence has its source sentences in the note.

Contains sentence selection, mention lists and the faithfulness check of generated text.
"""
