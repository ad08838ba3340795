"""Memory: model dimensions, bytes of each part, the plan for a device, and malloc settings.

Says how many tokens fit beside the weights.
"""
