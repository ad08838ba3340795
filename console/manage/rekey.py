"""`notemill db rekey`: encrypts all text in the database under a new data key."""

from __future__ import annotations

from console.terminal.exit_status import PROBLEM
from console.terminal.opened_database import database
from console.terminal.progress_bar import voice
from console.terminal.terminal import count_of, stdout
from models.security.key_rotation import rekey as seal_anew
from models.security.secure_overwrite import overwrite
from models.settings import load_settings


def rekey() -> int:
    """Exit status 1 where old bytes may remain in the file. Raises UsageError without a key."""
    settings = load_settings()
    speaking = voice(is_quiet=False)
    with database(settings) as opened:
        try:
            done = seal_anew(
                opened.engine,
                actor=settings.actor,
                on_rows=lambda rows: speaking.show(0, 0, f"{count_of(rows, 'row')} encrypted anew"),
            )
        finally:
            speaking.close()
        written = overwrite(opened.engine, is_rewriting=False)
    new = count_of(done.rewrapped_keys, "data key")
    stdout().print(
        f"{count_of(done.rows, 'row')} encrypted under data key {done.key};"
        f" {new} under the new master key. The database: {written.words}.",
        soft_wrap=True,
    )
    is_sqlite = not settings.effective_database_url.startswith("postgres")
    return PROBLEM if is_sqlite and not written.is_complete else 0
