"""Weights by name, and the models stored beside an adapter: lexicon, negation, ranking, task configuration.

`training.calibration` fits those models; nothing here imports torch at import time.
"""
