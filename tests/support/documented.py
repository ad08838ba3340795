"""The shell commands that README and docs show, as a reader would type them.

Commands come from blocks without a language or in sh, from indented blocks, and from inline code.
A command is the words between `&&`, `|`, `;` and line ends, without comments, prompts and redirections.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_AT_THE_TOP = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md")
PAGES = [*(ROOT / name for name in _AT_THE_TOP), *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}\S.*\n)+")
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_PROGRAMS = (
    *("notemill", "make", "docker", "python", "pip", "celery", "flower", "mkdocs", "kubectl", "promtool"),
    *("export", "vllm", "curl", "cp", "git", "openssl", "chmod", "sqlite3", "psql", "for", "systemctl"),
    *("apt-get", "crontab", "airflow", "systemd-analyze", "kubernetes-validate", "do"),
)
_BEGINS = re.compile(rf"(?:[A-Z_]+=\S+\s+)*(?:\.venv/bin/)?(?:{'|'.join(_PROGRAMS)})(?:\s(?!--to)|$)")
_SETTING = re.compile(r"[A-Z_]+=")


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a page."""

    page: str
    words: tuple[str, ...]
    settings: tuple[str, ...] = ()
    """Environment variables set in front of the command, or exported by it."""
    is_whole: bool = True
    """True if it can be typed as it is; inline code may leave out arguments."""

    @property
    def text(self) -> str:
        return " ".join(self.words)

    @property
    def program(self) -> str:
        return self.words[0].removeprefix(".venv/bin/")


def commands() -> Iterator[Command]:
    """Yields the commands of all pages, page by page."""
    for page in PAGES:
        name, text = str(page.relative_to(ROOT)), page.read_text("utf-8")
        for language, body in _BLOCK.findall(text):
            if language in ("", "sh"):
                yield from _commands_of(name, body, is_whole=True)
        prose = _BLOCK.sub("", text)
        for body in _INDENTED.findall(prose):
            yield from _commands_of(name, body, is_whole=True)
        for words in _INLINE.findall(prose):
            if " " in words:
                yield from _commands_of(name, words, is_whole=False)


def _commands_of(page: str, body: str, *, is_whole: bool) -> Iterator[Command]:
    for line in _lines(body):
        if not _BEGINS.match(line):
            continue
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;>")
        lexer.commenters, lexer.whitespace_split = "", True
        yield from _split(page, list(lexer), is_whole=is_whole)


def _lines(body: str) -> Iterator[str]:
    """Yields lines as the shell reads them: joined after a backslash and inside quotes, without comments."""
    held = ""
    for line in body.splitlines():
        held = f"{held} {line.strip()}" if held else line.strip()
        held = re.sub(r"(?:^|\s+)#(?:\s|$).*$", "", held)
        if held.endswith("\\"):
            held = held[:-1].rstrip()
        elif held.count('"') % 2 == 0 and held.count("'") % 2 == 0:
            yield held
            held = ""


def _split(page: str, words: list[str], *, is_whole: bool) -> Iterator[Command]:
    part: list[str] = []
    for word in [*words, ";"]:
        if word not in ("&&", "|", ";", "&", "||"):
            part.append(word)
            continue
        if ">" in part:
            del part[part.index(">") :]
        settings = [word for word in part if _SETTING.match(word)]
        if part[:1] == ["export"]:
            yield Command(page, tuple(part), tuple(word.partition("=")[0] for word in settings), is_whole)
        elif rest := part[len(settings) :] if part[: len(settings)] == settings else part:
            yield Command(page, tuple(rest), tuple(word.partition("=")[0] for word in settings), is_whole)
        part = []
