"""The terminal: output streams, progress bar, command-line options, errors and exit statuses."""
