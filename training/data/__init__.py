"""Training data: reads data sets in many forms, filters, removes duplicates, splits, writes a prepared
folder."""
