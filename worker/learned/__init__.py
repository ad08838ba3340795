"""Models fitted from annotated notes that are stored beside an adapter: lexicon, negation, ranking.

Holds their files, features and arithmetic; `training.calibration` fits them.
"""
