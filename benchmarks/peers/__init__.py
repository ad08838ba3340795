"""Inference engines of the comparison, each behind the Contender protocol: notemill and its peers."""
