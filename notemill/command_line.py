"""Entry point of the `notemill` command.

In the repository our packages are beside this one; in an installed wheel they are in `notemill/application`,
so that their names (`models`, `worker`, …) collide with nobody's. This module makes them importable.
"""

from __future__ import annotations

import sys
from pathlib import Path


def application_folder() -> Path:
    """The folder that holds the packages `worker`, `models`, `console`, …"""
    installed = Path(__file__).with_name("application")
    return installed if installed.is_dir() else Path(__file__).parents[1]


def main() -> None:
    """Runs a verb and exits with its status."""
    folder = str(application_folder())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    from console.terminal.exit_status import run_to_exit
    from notemill.verbs import app

    sys.exit(run_to_exit(app))
