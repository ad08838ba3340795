"""Named entity extraction: from label-word probabilities to mentions with assertion status and attributes.

Contains BIO decoding, mention scores, the false-positive filter, and the rules for assertions and attributes.
"""
