"""What every export reads: the metadata of a note and the vocabulary of concepts."""
