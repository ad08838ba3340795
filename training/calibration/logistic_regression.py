"""Logistic regression with few columns, by Newton's method with a ridge."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_RIDGE = 1e-2

Floats = npt.NDArray[np.float64]


def logistic(features: Floats, targets: Floats) -> Floats:
    """The weights [columns] of a ridge fit of the 0/1 `targets` [rows] on `features` [rows, columns]."""
    weights = np.zeros(features.shape[1])
    for _ in range(100):
        probabilities = sigmoid(features @ weights)
        gradient = features.T @ (targets - probabilities) - _RIDGE * weights
        hessian = (features * (probabilities * (1 - probabilities))[:, None]).T @ features + _RIDGE * np.eye(
            features.shape[1]
        )
        step = np.linalg.solve(hessian, gradient)
        weights += step
        if np.abs(step).max() < 1e-6:
            break
    return weights


def sigmoid(log_odds: Floats) -> Floats:
    """The probabilities of log odds."""
    return 1 / (1 + np.exp(-log_odds))
