"""`python -m notemill`."""

from __future__ import annotations

from notemill.command_line import main

if __name__ == "__main__":
    main()
