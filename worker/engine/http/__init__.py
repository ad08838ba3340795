"""The HTTP engine: answers requests through an OpenAI-compatible server such as vLLM or llama.cpp.

Sends the same prompts as the local engine, as tokens.
"""
