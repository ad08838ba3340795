"""What a person at a terminal sees, and the processes that `notemill run` starts and stops.

Does not import torch at import time.
"""
