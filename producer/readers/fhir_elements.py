"""Elements of FHIR R4 resources that make a note; all other elements are ignored.

Names are FHIR's own, so the specification documents them.
"""

# ruff: noqa: N815

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

LOINC = "http://loinc.org"


class _Element(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Coding(_Element):
    system: str | None = None
    code: str | None = None
    display: str | None = None


class CodeableConcept(_Element):
    coding: tuple[Coding, ...] = ()
    text: str | None = None


class Identifier(_Element):
    value: str | None = None


class Reference(_Element):
    reference: str | None = None
    identifier: Identifier | None = None


class Period(_Element):
    start: str | None = None


class Attachment(_Element):
    contentType: str | None = None
    data: str | None = None
    url: str | None = None
    title: str | None = None
    creation: str | None = None


class Meta(_Element):
    versionId: str | None = None
    lastUpdated: str | None = None

    @property
    def version(self) -> str:
        """A text that sorts by version: by the time in UTC, then by the number; empty without either."""
        if not self.lastUpdated and not self.versionId:
            return ""
        number = self.versionId or ""
        return f"{_in_utc(self.lastUpdated or '')} {number.zfill(12) if number.isdigit() else number}"


class Content(_Element):
    attachment: Attachment = Attachment()


class Context(_Element):
    encounter: tuple[Reference, ...] = ()
    period: Period | None = None


class RelatesTo(_Element):
    code: str | None = None
    target: Reference = Reference()


class _Resource(_Element):
    id: str | None = None
    meta: Meta = Meta()
    status: str = ""
    docStatus: str | None = None
    subject: Reference | None = None
    category: tuple[CodeableConcept, ...] = ()


class DocumentReference(_Resource):
    """https://hl7.org/fhir/R4/documentreference.html"""

    type: CodeableConcept | None = None
    date: str | None = None
    description: str | None = None
    content: tuple[Content, ...] = ()
    context: Context = Context()
    relatesTo: tuple[RelatesTo, ...] = ()

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        return tuple(content.attachment for content in self.content)

    @property
    def encounter_reference(self) -> Reference | None:
        return next(iter(self.context.encounter), None)

    @property
    def coding(self) -> Coding:
        return _best_coding(self.type)

    @property
    def title(self) -> str:
        named = next((attachment.title for attachment in self.attachments if attachment.title), None)
        return self.description or named or ""

    @property
    def when(self) -> str:
        created = next((attachment.creation for attachment in self.attachments if attachment.creation), None)
        return self.date or created or (self.context.period.start if self.context.period else None) or ""

    @property
    def replaced_references(self) -> tuple[str, ...]:
        """Ids of the notes that this one replaces."""
        replaced = (id_of(relation.target) for relation in self.relatesTo if relation.code == "replaces")
        return tuple(f"DocumentReference/{id_}" for id_ in replaced if id_ and id_ != self.id)


class DiagnosticReport(_Resource):
    """https://hl7.org/fhir/R4/diagnosticreport.html"""

    code: CodeableConcept | None = None
    encounter: Reference | None = None
    effectiveDateTime: str | None = None
    effectivePeriod: Period | None = None
    issued: str | None = None
    presentedForm: tuple[Attachment, ...] = ()

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        return self.presentedForm

    @property
    def encounter_reference(self) -> Reference | None:
        return self.encounter

    @property
    def coding(self) -> Coding:
        return _best_coding(self.code)

    @property
    def title(self) -> str:
        return next((attachment.title for attachment in self.presentedForm if attachment.title), None) or ""

    @property
    def when(self) -> str:
        began = self.effectivePeriod.start if self.effectivePeriod else None
        return self.effectiveDateTime or began or self.issued or ""

    @property
    def replaced_references(self) -> tuple[str, ...]:
        return ()


Note = DocumentReference | DiagnosticReport


def id_of(reference: Reference | None) -> str:
    """The id of a reference: `123` for `Patient/123`, `https://server/Patient/123` and
    `Patient/123/_history/4`; otherwise the business identifier; otherwise ''."""
    if reference is None:
        return ""
    literal = (reference.reference or "").partition("/_history/")[0]
    return literal.rpartition("/")[2] or ((reference.identifier and reference.identifier.value) or "")


def _best_coding(concept: CodeableConcept | None) -> Coding:
    """The LOINC coding, otherwise the first; named by the concept's text where it has no display."""
    if concept is None:
        return Coding()
    codings = sorted(concept.coding, key=lambda coding: coding.system != LOINC)
    best = next(iter(codings), Coding())
    named: dict[str, Any] = {"display": best.display or concept.text}
    return best.model_copy(update=named)


def _in_utc(instant: str) -> str:
    try:
        parsed = datetime.fromisoformat(instant)
    except ValueError:
        return instant
    moment = parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds")
