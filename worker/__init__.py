"""The worker: from a claimed document to stored outcomes, through one batched engine.

Top modules: the Celery application, the pipeline of one document, and the recipe of an answer.
"""
