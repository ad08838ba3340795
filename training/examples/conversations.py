"""Reader for conversations in two formats: Gath_baize's, and that of its source Baize.

Gath_baize: a preamble, then `[INST]` question `[/INST]` answer, perhaps repeated. Baize: turns after
`[|Human|]` and `[|AI|]`, with an empty human turn at the end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from models.errors import NotemillError

HUMAN, ASSISTANT = "human", "assistant"
PREAMBLE = re.compile(
    r"\s*(?:<s>)?\s*(?:The conversation between Human and AI assis\w* named \w+\.?|The conversation between"
    r" human and AI assistant\.)\s*",
    re.IGNORECASE,
)
"""The preambles of Gath_baize, with its misspelling "assisatance", and of Baize."""
_BAIZE_TURN = re.compile(r"\[\|(Human|AI)\|\]")
_GATH_TURN = re.compile(r"\[(/?INST)\]")
_ENDS = re.compile(r"</?s>")


class BrokenConversationError(NotemillError):
    """A row is in neither format; `reason` is a fixed phrase without text of the row."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Conversation:
    """The turns of a conversation: the first is a person's question, the last an answer."""

    turns: tuple[tuple[str, str], ...]
    """(role, text): human, assistant, human, …; no text is empty."""
    origin: str = ""
    """The data set that the row or its file name gives as the origin; '' if none."""
    has_preamble: bool = False

    @property
    def text(self) -> str:
        """The text of all turns, to find duplicates by."""
        return "\n".join(text for _, text in self.turns)

    @property
    def opening(self) -> str:
        """The first question, which seeded a conversation of Baize."""
        return self.turns[0][1]


def read_conversation(sample: object, origin: str = "") -> Conversation:
    """The conversation of a `chat_sample` or an `input`. Raises BrokenConversationError."""
    if not isinstance(sample, str) or not sample.strip():
        raise BrokenConversationError("empty")
    if _BAIZE_TURN.search(sample):
        turn_start, roles = _BAIZE_TURN, {"Human": HUMAN, "AI": ASSISTANT}
    elif _GATH_TURN.search(sample):
        turn_start, roles = _GATH_TURN, {"INST": HUMAN, "/INST": ASSISTANT}
    else:
        raise BrokenConversationError("no turns")
    before, *texts_and_roles = turn_start.split(sample)
    preamble = PREAMBLE.match(before)
    if _clean(before[preamble.end() :] if preamble else before):
        raise BrokenConversationError("words before the first turn")
    turns = [
        (roles[role], _clean(text))
        for role, text in zip(texts_and_roles[::2], texts_and_roles[1::2], strict=True)
    ]
    if turns[-1] == (HUMAN, ""):
        turns.pop()  # Baize ends with an empty human turn
    _check(turns)
    return Conversation(tuple(turns), origin, has_preamble=preamble is not None)


def _check(turns: list[tuple[str, str]]) -> None:
    if any(role != (HUMAN, ASSISTANT)[index % 2] for index, (role, _) in enumerate(turns)):
        raise BrokenConversationError("turns do not alternate")
    if not turns or len(turns) % 2:
        raise BrokenConversationError("no answer to the last question")
    if not all(text for _, text in turns):
        raise BrokenConversationError("an empty turn")


def _clean(text: str) -> str:
    return _ENDS.sub("", text).replace("\r\n", "\n").strip()
