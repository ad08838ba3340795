"""Inputs that are not as they should be, over everything that reads: see __main__."""
