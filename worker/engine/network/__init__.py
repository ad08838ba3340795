"""The neural network: loads weights, fuses layers, quantizes, applies LoRA, and runs batches.

Holds the local engine, which combines scheduler, KV cache and network.
"""
