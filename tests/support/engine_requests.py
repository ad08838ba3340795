"""Requests for tests of the engine on tiny random weights."""

from __future__ import annotations

from worker.engine.api import Choice, Prompt, ScoreRequest

NOTE = "The patient was given aspirin 81 mg for chest pain. Denies fever or cough."


def prompt(question: str = "What?", document: str = NOTE, *, uses_adapter: bool = False) -> Prompt:
    return Prompt(document, question, uses_adapter=uses_adapter)


def score_request(
    asked: Prompt | None = None, text: str = NOTE, *, is_question_cached: bool = False
) -> ScoreRequest:
    """Scores three label words after each token of `text`."""
    return ScoreRequest(asked or prompt(), text, (Choice(("P", "p", "-")),), is_question_cached)
