"""Training examples: the worker's own requests as token sequences, with label words or generated answers."""
