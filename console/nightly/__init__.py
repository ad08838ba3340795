"""The verb `nightly`: reads what is new, answers it within a time window, and reports."""
