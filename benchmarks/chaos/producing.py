"""A producer process: submits a range of the notes, ten a transaction, and writes down its run.

python -m benchmarks.chaos.producing GROUP FIRST COUNT FILE
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.chaos.notes import SEARCHES, documents
from models.errors import NotemillError
from models.settings import load_settings
from producer import registering
from producer.submitting import NotEnqueuedError, submit
from worker.recipes import serving

registering.BATCH_DOCUMENTS = 10


def main(group: str, first: str, count: str, file: str) -> int:
    settings = load_settings()
    try:
        submitted = submit(
            documents(group, int(first), int(count)),
            tasks=(),
            searches=SEARCHES,
            settings=settings,
            serving=serving(settings),
        )
    except NotEnqueuedError as error:  # all is registered, and the message says that nothing is lost
        submitted = error.submitted
    except NotemillError as error:
        print(error, file=sys.stderr)
        return 1
    Path(file).write_text(str(submitted.run_id))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
