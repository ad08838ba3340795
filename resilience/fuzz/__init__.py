"""Fuzzing of everything that reads input from others: readers, messages, answers of a network."""
