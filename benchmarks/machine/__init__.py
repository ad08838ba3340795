"""What a machine can do at most, and the real steps of the engine, measured side by side."""
