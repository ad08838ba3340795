"""Input of every export: the metadata of a note and the vocabulary of concepts."""
