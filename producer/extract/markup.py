"""Text of a tree of HTML or C-CDA narrative: a block a line, a table row a line, cells separated by tabs.

Both formats share these structures under different names. White space is folded as browsers fold it.
"""

from __future__ import annotations

import re
from typing import Any

from lxml import etree

_PARAGRAPHS = {
    "p",
    "paragraph",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "table",
    "ul",
    "ol",
    "list",
    "blockquote",
    "pre",
}
_LINES = _PARAGRAPHS | {
    *("div", "section", "article", "header", "footer", "main", "aside", "address", "figure", "figcaption"),
    *("form", "fieldset", "legend", "dl", "dt", "dd", "li", "item", "tr", "thead", "tbody", "tfoot", "hr"),
    *("caption", "title", "footnote", "body", "option"),
}
_CELLS = {"td", "th"}
_ITEMS = {"li", "item"}
_UNSEEN = {"script", "style", "head", "template", "noscript", "rendermultimedia", "del", "s", "strike"}
"""Elements without text; struck-out text is among them, since its author withdrew it."""
_FOLDED = re.compile(r"[ \t\r\n\f]+")
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)


def tree_text(tree: Any) -> str:
    """The text of an lxml element and all in it; without recursion, however deep it is."""
    writer = _Writer()
    walk = etree.iterwalk(tree, events=("start", "end", "comment", "pi"))
    for event, element in walk:
        if event == "start" and not isinstance(element.tag, str):
            walk.skip_subtree()
        elif event == "start":
            name = _name(element)
            if _is_unseen(name, element):
                walk.skip_subtree()
                continue
            writer.begin(name, element)
            writer.text(element.text)
        elif event == "end" and isinstance(element.tag, str) and not _is_unseen(_name(element), element):
            writer.end(_name(element))
        if event != "start" and element is not tree:
            writer.text(element.tail)
    return writer.whole


class _Writer:
    def __init__(self) -> None:
        self._parts: list[str] = []
        self._cells = 0
        """Number of open table cells; in a cell a line break becomes a space."""
        self._columns: list[int] = []
        """Number of cells so far in each open table row."""
        self._verbatim = 0
        self._numbers: list[int | None] = []
        """Number of the last item in each open list; None for a bulleted list."""

    @property
    def whole(self) -> str:
        return "".join(self._parts).strip("\n ")

    def begin(self, name: str, element: Any) -> None:
        if name in _LINES:
            self._break(2 if name in _PARAGRAPHS else 1)
        if name == "br":
            self._break(0)
        elif name == "tr":
            self._columns.append(0)
        elif name in _CELLS:
            if self._columns and self._columns[-1]:
                self._parts.append("\t")
            if self._columns:
                self._columns[-1] += 1
            self._cells += 1
        elif name in ("ul", "ol", "list"):
            is_numbered = name == "ol" or element.get("listType") == "ordered"
            self._numbers.append(0 if is_numbered else None)
        elif name in _ITEMS:
            self._parts.append(self._bullet())
        elif name == "sup":
            self._parts.append("^")  # 10 to the 9th is not 109
        self._verbatim += name == "pre"

    def end(self, name: str) -> None:
        self._verbatim -= name == "pre"
        if name in _CELLS:
            self._cells -= 1
            self._without_last_space()
        elif name == "tr":
            self._columns.pop()
        if name in ("ul", "ol", "list"):
            self._numbers.pop()
        if name in _LINES:
            self._break(2 if name in _PARAGRAPHS else 1)

    def text(self, text: str | None) -> None:
        if not text:
            return
        if self._verbatim:
            self._parts.append(text)
            return
        folded = _FOLDED.sub(" ", text)
        if self._last in ("", "\n", " ", "\t"):
            folded = folded.removeprefix(" ")
        if folded:
            self._parts.append(folded)

    @property
    def _last(self) -> str:
        return self._parts[-1][-1] if self._parts else ""

    def _break(self, lines: int) -> None:
        """At least so many line ends, none at the start; 0: exactly one more, as `br` has it."""
        if self._cells:
            self.text(" ")
            return
        self._without_last_space()
        if not self._parts:
            return
        tail = "".join(self._parts[-2:])
        present_lines = len(tail) - len(tail.rstrip("\n"))
        self._parts.extend("\n" * (max(0, lines - present_lines) if lines else 1))

    def _without_last_space(self) -> None:
        while self._last == " " and not self._verbatim:
            self._parts[-1] = self._parts[-1][:-1]
            if not self._parts[-1]:
                self._parts.pop()

    def _bullet(self) -> str:
        if not self._numbers or self._numbers[-1] is None:
            return "- "
        self._numbers[-1] += 1
        return f"{self._numbers[-1]}. "


def _name(element: Any) -> str:
    # Not etree.QName, which takes no name such as that of `<jane@ward.example>`, and HTML has it in notes.
    return str(element.tag).rpartition("}")[2].lower()


def _is_unseen(name: str, element: Any) -> bool:
    is_hidden = element.get("hidden") is not None or _HIDDEN.search(element.get("style") or "") is not None
    return name in _UNSEEN or is_hidden or element.get("revised") == "delete"
