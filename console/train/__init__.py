"""The verbs `train` and `annotate`: prepare data, fine-tune, evaluate, merge."""
