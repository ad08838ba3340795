"""Prompts as text and tokens: chat template, prompt templates, label words, grammars, tokenizer.

Does not import torch.
"""
