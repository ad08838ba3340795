"""Named entity extraction: from label-word probabilities to mentions with assertion and attributes.

Holds BIO decoding, mention scores, the false-positive filter, and rules for assertion and attributes.
"""
