"""Continuous batching: sequences, prefix cache, fair queue, scheduler and constrained decoding.

Decides which tokens of which sequences the network computes next. Does not import torch.
"""
