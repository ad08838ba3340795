"""Answers out: one writer a format. Meets the rest of the house in `models` only, as `producer` does."""
