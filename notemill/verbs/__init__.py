"""The verbs of the command line, one function each; every verb imports the module that does its work.

Imports are inside the verbs, so that `notemill --help` loads neither torch nor Celery nor SQLAlchemy.
"""

# ruff: noqa: I001  in the order of `notemill --help`
from notemill.verbs import work, look, keep, stores, train
from notemill.verbs.groups import app

__all__ = ["app", "keep", "look", "stores", "train", "work"]
