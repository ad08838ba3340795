"""De-identification: detects identifiers (PHI) in a note and replaces them by surrogates.

Used where the text of notes goes to a server over HTTP.
"""
