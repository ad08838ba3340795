"""scispaCy baseline: en_ner_bc5cdr_md (Neumann 2019), if installed; its labels are DISEASE and CHEMICAL."""

from __future__ import annotations

from typing import Any

from training.evaluation.metrics.span_matching import LabeledSpan
from training.evaluation.records.evaluation_data import DataError

PACKAGE = "en_ner_bc5cdr_md"
_LABELS = {"DISEASE": "Disease", "CHEMICAL": "Chemical"}


class SciSpacy:
    """The loaded spaCy pipeline."""

    def __init__(self) -> None:
        try:
            import spacy

            self._pipeline: Any = spacy.load(PACKAGE)
        except (ImportError, OSError):
            raise DataError(
                f"--baseline scispacy needs spaCy and the package {PACKAGE}, which scispaCy's own releases"
                " carry. Install both in this environment, or leave the baseline out."
            ) from None

    def __call__(self, text: str) -> list[LabeledSpan]:
        entities = self._pipeline(text).ents
        return [
            LabeledSpan(entity.start_char, entity.end_char, _LABELS.get(entity.label_, entity.label_))
            for entity in entities
        ]
