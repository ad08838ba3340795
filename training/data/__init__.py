"""Training data: reads data sets, filters them, removes duplicates, and writes train and validation files."""
