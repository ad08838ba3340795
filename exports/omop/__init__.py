"""The OMOP CDM v5.4 export: `note` and `note_nlp` as files or as rows of a database."""
