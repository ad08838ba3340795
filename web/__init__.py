"""The browser application of `notemill view`, and the single-file page of `notemill show --html`.

Reads through `models.queries`, writes corrections only; no SQL of its own.
"""
