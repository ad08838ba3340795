"""Baselines that evaluation compares with: BM25, a dictionary, NegEx, scispaCy."""
