"""Fits the models beside an adapter: lexicon, negation, and the ranking of search."""
