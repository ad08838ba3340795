"""Commands of the terminal, their output, and the processes that `notemill run` starts and stops.

Does not import torch at import time.
"""
