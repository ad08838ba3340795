"""De-identification: detects identifiers (PHI) in a note and replaces them by surrogates.

Used if the text of notes is sent to a server over HTTP.
"""
