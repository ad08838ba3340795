"""The inference engine: requests in (`decide`, `write`, `compare`), replies out.

Top modules: its API, output formats, weights, and the factory that chooses an engine by the settings.
"""
