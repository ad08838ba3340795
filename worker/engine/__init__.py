"""The inference engine: requests in (`decide`, `write`, `compare`), replies out.

Holds the API, the output formats, and the coroutine protocol by which tasks ask the engine.
"""
