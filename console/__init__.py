"""What a person at a terminal sees, and what `notemill run` starts and stops. No torch at import."""
