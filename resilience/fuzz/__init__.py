"""Fuzzing of everything that reads external input: readers, queue messages, answers of a network."""
