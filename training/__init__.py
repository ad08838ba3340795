"""Fine-tuning of the served weights with the prompts and formats of the worker, and evaluation.

The YAML training recipes are in `training/recipes`.
"""
