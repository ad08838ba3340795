"""The neural network: loads weights, fuses layers, quantizes, applies LoRA, and runs batches.

Holds the local engine, which puts scheduler, cache and network together.
"""
