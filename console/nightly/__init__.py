"""The verb `nightly`: reads new notes, answers them within a time window, and writes a report."""
