"""Attention over packed batches: batch layout, KV cache, kernels and CUDA graphs.

Works on tensors. Does not import the scheduler.
"""
