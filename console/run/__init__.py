"""The verbs that put notes to work: `run`, `submit`, `worker`, `retry`, `cancel`, `sweep`."""
