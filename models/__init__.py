"""The nouns of notemill: what travels, what is stored, what is asked. No Celery, no torch."""
