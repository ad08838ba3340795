"""Attention over packed batches: batch layout, KV cache, kernels and CUDA graphs.

Works on tensors; does not import the scheduler.
"""
