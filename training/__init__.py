"""Fine-tuning of the weights that the worker serves, with the worker's own prompts and forms."""
