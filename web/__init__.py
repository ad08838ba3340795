"""Pages over the store: what `notemill view` serves, and the one-document page of `notemill show --html`.

Knows the nouns, reads through `models.queries` and `models.browsing`, and writes corrections only.
No queue, no network, no SQL of its own.
"""
