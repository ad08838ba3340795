"""Memory: model dimensions, the bytes of each part, the plan for a device, and malloc settings.

Computes how many tokens fit into memory beside the weights. Does not import torch at module level.
"""
