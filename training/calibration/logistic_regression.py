"""Logistic regression with few columns, by Newton's method with a ridge."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_RIDGE = 1e-2

Floats = npt.NDArray[np.float64]


def logistic(given: Floats, right: Floats) -> Floats:
    """The weights [columns] that make `right` [rows] likeliest of `given` [rows, columns], less a ridge."""
    weights = np.zeros(given.shape[1])
    for _ in range(100):
        told = sigmoid(given @ weights)
        slope = given.T @ (right - told) - _RIDGE * weights
        bend = (given * (told * (1 - told))[:, None]).T @ given + _RIDGE * np.eye(given.shape[1])
        step = np.linalg.solve(bend, slope)
        weights += step
        if np.abs(step).max() < 1e-6:
            break
    return weights


def sigmoid(log_odds: Floats) -> Floats:
    """Probabilities."""
    return 1 / (1 + np.exp(-log_odds))
