"""One document's page as a single file for `notemill show --html`: style and script inside, nothing fetched.

Needs no web server; its content policy allows only its own script and style.
"""

from __future__ import annotations

import base64
import hashlib

from markupsafe import Markup

from web.document_page import DocumentView
from web.html_rendering import STATIC, render


def single_file(view: DocumentView) -> str:
    """A whole HTML document."""
    style = (STATIC / "notemill.css").read_text("utf-8")
    script = (STATIC / "theme.js").read_text("utf-8") + (STATIC / "note.js").read_text("utf-8")
    policy = f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; base-uri 'none'"
    return render(
        "single_file",
        view=view,
        policy=policy,
        style=Markup(style),  # noqa: S704  our own files
        script=Markup(script),  # noqa: S704
        can_correct=False,
        newer=None,
    )


def _source(content: str) -> str:
    digest = base64.b64encode(hashlib.sha256(content.encode("utf-8")).digest()).decode()
    return f"'sha256-{digest}'"
