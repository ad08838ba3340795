"""Weights by name, and the models stored beside an adapter: lexicon, negation, ranking, task configuration.

`training.calibration` fits these models. Does not import torch at module level.
"""
