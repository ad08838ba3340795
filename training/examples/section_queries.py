"""Wordings of the questions that a section of a note answers, by its heading."""

from __future__ import annotations

_PLAN = (
    "What is the plan and follow-up?",
    "follow-up",
    "plan",
    "What was the patient told to do?",
    "When should the patient come back?",
    "What happens next?",
    "Which treatment is planned?",
    "discharge instructions",
)
_ASSESSMENT = (
    "What diagnoses were made?",
    "diagnosis",
    "assessment",
    "impression",
    "What is the main problem?",
    "What does the patient have?",
    "final diagnoses",
)
_MEDICATIONS = (
    "Which medications does the patient take?",
    "medications",
    "medication list",
    "What medications was the patient sent home on?",
    "discharge medications",
    "What drugs is the patient on, and at what dose?",
    "What was prescribed?",
)
_EXAMINATION = (
    "What did the examination show?",
    "physical examination",
    "What was found on examination?",
    "vital signs and findings",
)
_HISTORY = (
    "What is the patient's medical history?",
    "past medical history",
    "Which chronic diseases does the patient have?",
    "previous illnesses",
)
_COURSE = (
    "What happened?",
    "history of the present illness",
    "What was the course?",
    "How did it begin?",
    "When did the symptoms start?",
    "hospital course",
)

QUERIES = {
    "CHIEF COMPLAINT": (
        "Why did the patient come?",
        "reason for the visit",
        "chief complaint",
        "What is the main problem?",
        "Why was the patient admitted?",
    ),
    "HISTORY OF PRESENT ILLNESS": _COURSE,
    "RESULTS": (
        "What were the test results?",
        "laboratory and imaging results",
        "What did the tests show?",
        "What did the scan show?",
        "laboratory values",
    ),
    "PHYSICAL EXAM": _EXAMINATION,
    "PHYSICAL EXAMINATION": _EXAMINATION,
    "ASSESSMENT AND PLAN": (*_PLAN, *_ASSESSMENT),
    "PLAN": _PLAN,
    "INSTRUCTIONS": _PLAN,
    "ASSESSMENT": _ASSESSMENT,
    "IMPRESSION": _ASSESSMENT,
    "SOCIAL HISTORY": (
        "Does the patient smoke or drink?",
        "social history",
        "tobacco and alcohol use",
        "What is the patient's occupation?",
        "living situation",
    ),
    "MEDICATIONS": _MEDICATIONS,
    "CURRENT MEDICATIONS": _MEDICATIONS,
    "MEDICAL HISTORY": _HISTORY,
    "PAST HISTORY": _HISTORY,
    "FAMILY HISTORY": (
        "Is there a family history?",
        "diseases in the family",
        "family history",
        "Did a parent or sibling have a disease?",
    ),
    "ALLERGIES": (
        "Does the patient have allergies?",
        "allergies",
        "What is the patient allergic to?",
        "drug allergies and reactions",
    ),
    "SURGICAL HISTORY": (
        "What operations has the patient had?",
        "past surgery",
        "previous surgical procedures",
    ),
}
"""Queries by heading: the sentences of the section answer them."""
HEADINGS_OF_PARTS = {
    "CC": "CHIEF COMPLAINT",
    "GENHX": "HISTORY OF PRESENT ILLNESS",
    "EDCOURSE": "HISTORY OF PRESENT ILLNESS",
    "LABS": "RESULTS",
    "IMAGING": "RESULTS",
    "EXAM": "PHYSICAL EXAM",
    "ASSESSMENT": "ASSESSMENT",
    "DIAGNOSIS": "IMPRESSION",
    "PLAN": "PLAN",
    "DISPOSITION": "PLAN",
    "MEDICATIONS": "MEDICATIONS",
    "ALLERGY": "ALLERGIES",
    "FAM/SOCHX": "SOCIAL HISTORY",
    "PASTMEDICALHX": "MEDICAL HISTORY",
    "PASTSURGICAL": "SURGICAL HISTORY",
}
"""Heading in a note by the section name of MTS-Dialog."""
