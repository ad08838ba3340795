"""The FHIR R4 export: a note and its answers as one Bundle, validated by fhir.resources."""
