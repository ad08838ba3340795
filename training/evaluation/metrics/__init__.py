"""Metrics: precision, recall and F1 with intervals, ranking, calibration error, faithfulness."""
