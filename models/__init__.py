"""The data models: what travels, what is stored, and what is asked.

Imports neither Celery nor torch, and none of the other packages.
"""
