"""Continuous batching: sequences, prefix cache, fair queue, scheduler and constrained decoding.

Decides which tokens of which sequences are computed next; does not import torch.
"""
