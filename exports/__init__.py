"""Exports: one writer for each output format, from stored answers to files or databases.

Imports only `models`, as `producer` does.
"""
