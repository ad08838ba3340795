"""The tables `note` and `note_nlp` of the OMOP CDM v5.4, column by column as in its DDL.

Ids are wider than the CDM's integers: hospitals number notes and visits beyond two billion.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Date, DateTime, Integer, MetaData, String, Table, Text

METADATA = MetaData()
NOTE = Table(
    "note",
    METADATA,
    Column("note_id", BigInteger, primary_key=True, autoincrement=False),
    Column("person_id", BigInteger, nullable=False),
    Column("note_date", Date, nullable=False),
    Column("note_datetime", DateTime),
    Column("note_type_concept_id", Integer, nullable=False),
    Column("note_class_concept_id", Integer, nullable=False),
    Column("note_title", String(250)),
    Column("note_text", Text, nullable=False),
    Column("encoding_concept_id", Integer, nullable=False),
    Column("language_concept_id", Integer, nullable=False),
    Column("provider_id", BigInteger),
    Column("visit_occurrence_id", BigInteger),
    Column("visit_detail_id", BigInteger),
    Column("note_source_value", String(50)),
    Column("note_event_id", BigInteger),
    Column("note_event_field_concept_id", Integer),
)
NOTE_NLP = Table(
    "note_nlp",
    METADATA,
    Column("note_nlp_id", BigInteger, primary_key=True, autoincrement=False),
    Column("note_id", BigInteger, nullable=False, index=True),
    Column("section_concept_id", Integer),
    Column("snippet", String(250)),
    # A keyword of SQL:2008: quoted in every statement, as in the CDM's own DDL.
    Column("offset", String(50), quote=True),
    Column("lexical_variant", String(250), nullable=False),
    Column("note_nlp_concept_id", Integer),
    Column("note_nlp_source_concept_id", Integer),
    Column("nlp_system", String(250)),
    Column("nlp_date", Date, nullable=False),
    Column("nlp_datetime", DateTime),
    Column("term_exists", String(1)),
    Column("term_temporal", String(50)),
    Column("term_modifiers", String(2000)),
)
