"""Medical filter: recognizes medical conversations by their origin, or else by a word rule.

The rule counts different medical words, by their prefixes below, in all turns; docs/reference/training.md
has its measured accuracy.
"""

from __future__ import annotations

import re

LEAST_WORDS = 2
"""Fewest different medical words."""
LEAST_SHARE = 0.02
"""Least share of medical words among all words: a long story with two of them is not medical."""
_WORD_PREFIXES = (
    "abdom|abscess|acetamin|acne|adhd|allerg|alzheim|amput|anaem|anaes|anemi|anesth|aneurysm|angina"
    "|antibiot|antibod|antidepress|antihist|antivir|anxiety|aort|apnea|appendi|arrhythm|arter|arthr"
    "|asthma|autis|autoimm|bacteri|benign|biops|bipolar|bladder|bleed|blood|bone|bowel|breath|bronch"
    "|bruis|burns and|cancer|carcin|cardi|cataract|catheter|cervi|chemother|chest pain|cholester"
    "|chromosom|chronic|cirrhos|clinic|colitis|colon|congenital|constipat|contagi|cornea|coronary|cough"
    "|cramp|cyst|deficiency|dementia|dental|dermat|diabet|diagnos|dialys|diarrh|disease|disorder|dizz"
    "|doctor|dosage|dose|drug|dystroph|eczema|edema|embol|endoscop|epidem|epilep|estrogen|eyelid|fatal"
    "|fatigue|fetal|fever|fibros|fractur|fung|gallbladder|gastr|genes affect|genet|gland|glaucoma|glucose"
    "|gout|headache|hearing loss|heart|hematol|hemoglob|hemorr|hepat|hereditary|hernia|herpes|hiv|hormon"
    "|hospital|hypert|hypogly|hypoth|ibuprofen|ileum|immun|incontin|infarct|infect|inflamm|influenza"
    "|inherited|injur|insulin|intestin|itch|jaundice|joint pain|kidney|lesion|leuk|liver|lung|lupus|lymph"
    "|malaria|malform|malign|mammogr|measles|medic|melanoma|mening|menopaus|menstru|metabol|metast"
    "|migraine|miscarr|mri|mucus|muscle|mutation|nausea|neonat|nerve|neuro|numbness|nurse|obes|oncol"
    "|organ transplant|osteo|ovar|pain|palpitat|palsy|pancrea|paraly|parkinson|patholog|patient|pelvi"
    "|penicill|pharmac|physician|placent|platelet|pneumon|polio|polyp|pregnan|prescri|prevalence|prognos"
    "|prostat|protein|psoria|psychiat|pulmon|rash|renal|respirat|retina|rheum|scan|schizo|sclero|seizure"
    "|sepsis|shingles|sinus|skin|sleep apnea|smallpox|spasm|spinal|spine|spleen|sprain|sterile|stomach"
    "|stroke|surg|swell|symptom|syndrome|tendon|testic|therap|throat|thromb|thyroid|tissue|tonsil"
    "|transfus|transplant|trauma|treatment|tremor|tubercul|tumo|ulcer|ultrasound|urin|uter|vaccin|vagin"
    "|valve|vascul|vein|vertigo|viral|virus|vision|vitamin|vomit|wound|x-ray"
)
_MEDICAL = re.compile(rf"\b(?:{_WORD_PREFIXES})", re.IGNORECASE)
_ORIGIN = re.compile(r"med", re.IGNORECASE)


def is_medical(text: str) -> bool:
    """True if the text has enough medical words."""
    matches = [match.group().lower() for match in _MEDICAL.finditer(text)]
    return len(set(matches)) >= LEAST_WORDS and len(matches) >= LEAST_SHARE * len(text.split())


def is_medical_origin(origin: str, named: frozenset[str]) -> bool:
    """True for one of the named origins; without any, for one with 'med' in it (medical, medquad)."""
    return origin in named if named else _ORIGIN.search(origin) is not None
