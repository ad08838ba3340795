"""Patterns of identifiers (PHI), which `worker.privacy.identifier_detection` applies.

The first group of a pattern is the identifier; the rest is the context that indicates it.
"""

from __future__ import annotations

from enum import StrEnum

from worker.note.word_boundaries import word_set


class IdentifierKind(StrEnum):
    """The kind of an identifier, which determines its surrogate."""

    WORD = "word"
    """A word of the name of a person, a place or an institution."""
    DATE = "date"
    """A date, of which the year is kept."""
    NUMBER = "number"
    """A telephone, record, account or house number, the age of a very old person, or an internet address."""


UPPER = "A-ZÀ-ÖØ-ÞČĐĞŁŚŞŠŹŻŽ"
_WORD = rf"[{UPPER}](?:[\w'’]*\w)?(?:-[{UPPER}]\w+)*"
_PARTICLES = r"(?:(?:de|del|della|la|van|von|der|den|bin|ibn|al|da|dos|du|ten|ter)[ ]+){0,2}"
_PERSON = rf"{_WORD}\.?(?:[ ]{_PARTICLES}{_WORD}\.?){{0,3}}"
_PERSON_OR_REVERSED = rf"{_WORD}\.?(?:,?[ ]{_PARTICLES}{_WORD}\.?){{0,3}}"
"""A name that may also have the family name first, before a comma."""
_PROPER = rf"[{UPPER}][\w'’-]*[a-z](?:[ ][{UPPER}][\w'’-]*[a-z])?"
_MONTH = (
    r"(?i:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_STATES = (
    "AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND"
    " OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY"
).replace(" ", "|")
_RELATIVES = (
    "wife|husband|spouse|son|daughter|brother|sister|mother|father|mom|dad|partner|girlfriend|boyfriend"
    "|friend|niece|nephew|aunt|uncle|cousin|grandson|granddaughter|caregiver|neighbou?r|roommate"
)
_ROLES = (
    r"patient(?:'s)?(?: name)?|pt(?: name)?|(?:first |last |family |given |full )?name"
    r"|attending(?: physician)?"
    r"|(?:[a-z]+ )?(?:physician|provider|clinician|surgeon|nurse|pharmacist|radiologist|pathologist)|pcp"
    r"|assistants?|ana?esthe(?:siologist|tist)|author|cc|proxy|informant|interpreter|guardian"
    r"|emergency contact|next of kin|spouse|contact|employer|(?:dictated|signed|reviewed|transcribed) by"
)
_INSTITUTIONS = (
    "Hospital|Medical Center|Clinic|Nursing Home|Health Center|Health System|Healthcare|University|College"
    "|Rehab(?:ilitation)?|Hospice|Infirmary|Institute|Pharmacy|School|Church|Prison|Jail|Shelter|Manor"
)
_STREETS = (
    "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Way|Place|Pl|Terrace|Highway"
    "|Hwy|Square|Parkway|Pkwy|Circle"
)
_RECORDS = (
    r"mrn|mr ?#|medical record(?: number| no)?|acc(?:ession)?|account|acct|encounter|visit|case|csn|policy"
    r"|member|insurance|licen[sc]e|npi|dea|ssn|social security|serial|s/n|id|nhs|chart|room|bed|pager|ext"
    r"|plate|passport|device|model"
)
_TELEPHONES = r"tel(?:ephone)?|phone|ph|fax|pager|cell|mobile|call(?:ed)?(?: at)?|contact|home|work"

RULES: tuple[tuple[IdentifierKind, str], ...] = (
    (IdentifierKind.NUMBER, r"([\w.+-]+@[\w-]+(?:\.[\w-]+)+)"),
    (IdentifierKind.NUMBER, r"((?:https?://|www\.)[^\s<>\"]+\w)"),
    (IdentifierKind.NUMBER, r"\b(\d{1,3}(?:\.\d{1,3}){3})\b"),
    (IdentifierKind.DATE, r"\b(\d{4}-\d{1,2}-\d{1,2})(?!\d)"),
    (IdentifierKind.DATE, r"(?<![\d/.-])(\d{1,2}([/.-])\d{1,2}\2(?:\d{4}|\d{2}))(?![\d/-])"),
    (IdentifierKind.DATE, rf"\b({_MONTH}[ ]\d{{1,2}}(?:st|nd|rd|th)?\b(?:,?[ ]\d{{4}}\b)?)"),
    (
        IdentifierKind.DATE,
        rf"\b(\d{{1,2}}(?:st|nd|rd|th)?[ -](?:of[ ])?{_MONTH}(?:[ ,-]{{1,2}}\d{{2,4}}\b)?)",
    ),
    (IdentifierKind.DATE, rf"\b({_MONTH},?(?:[ ]of)?[ ](?:19|20)\d\d)\b"),
    (
        IdentifierKind.DATE,
        r"(?i:\b(?:on|since|dated|until|through|from|by|of|admitted|discharged|seen)[ ])"
        r"(\d{1,2}/\d{1,2})\b(?!/)",
    ),
    (IdentifierKind.DATE, r"\b(\d{1,2}/(?:19|20)\d\d)\b"),
    (IdentifierKind.NUMBER, r"(?<![\d.])(\d{3}-\d{2}-\d{4})\b"),
    (
        IdentifierKind.NUMBER,
        r"(?<![\d.])((?:\+?\d{1,3}[ .-]?)?\(?\d{3}\)?[ .-]{1,2}\d{3}[ .-]\d{4}"
        r"(?:[ ]?(?:x|ext\.?)[ ]?\d+)?)\b",
    ),
    (IdentifierKind.NUMBER, rf"(?i:\b(?:{_TELEPHONES})[ ]?[:#.]?[ ]*)(\+?\(?\d[\d ().-]{{5,}}\d)"),
    (
        IdentifierKind.NUMBER,
        rf"(?i:\b(?:{_RECORDS})[ ]?(?:number|num|no\.?|id|#)?[ ]?[:#=.]?[ ]*)"
        r"(?=[\w-]*\d)([A-Z]{0,4}-?\d[\dA-Z-]*)\b",
    ),
    (IdentifierKind.NUMBER, r"(?<![\d.,])(\d{7,})(?![\d.,]*\d)"),
    (IdentifierKind.NUMBER, r"\b(9\d|1[0-2]\d)(?=[ -]?(?:years?|yrs?|y)[ ./-]?(?:old|o)\b)"),
    (IdentifierKind.NUMBER, r"(?i:\baged?[ :]{1,2})(9\d|1[0-2]\d)\b"),
    (
        IdentifierKind.NUMBER,
        rf"\b(\d{{1,6}})(?=[ ](?:[NSEW]\.?[ ])?(?:{_WORD}\.?[ ]){{1,3}}(?:{_STREETS})\b)",
    ),
    (IdentifierKind.WORD, rf"\b\d{{1,6}}[ ](?:[NSEW]\.?[ ])?((?:{_WORD}\.?[ ]){{1,3}})(?:{_STREETS})\b"),
    (
        IdentifierKind.NUMBER,
        rf"(?:\b(?:{_STREETS})\b\.?,?[ ]*)(?i:(?:apt|suite|ste|unit|#)\.?[ ]*#?)(\w{{1,5}})\b",
    ),
    (IdentifierKind.NUMBER, r"(?i:\bp\.?o\.? box[ ]*)(\d+)"),
    (IdentifierKind.NUMBER, rf"\b(?:{_STATES})[ ,]+(\d{{5}}(?:-\d{{4}})?)\b"),
    (IdentifierKind.NUMBER, r"(?i:\bzip(?: code)?[ :]*)(\d{5}(?:-\d{4})?)\b"),
    (IdentifierKind.WORD, rf"\b({_WORD}(?:[ ]{_WORD}){{0,2}}),[ ](?:{_STATES})\b"),
    (IdentifierKind.WORD, rf"((?:{_WORD}\.?[ ]){{1,4}})(?:{_INSTITUTIONS})\b"),
    (IdentifierKind.WORD, rf"\b(?:Mrs?|Ms|Mx|Drs?|Prof)\.?[ ]+{_PARTICLES}({_PERSON})"),
    (IdentifierKind.WORD, rf"\b(?:MRS?\.|MS\.|DR\.?|Miss|Doctor|Professor|Nurse|Rev\.)[ ]+({_PERSON})"),
    (IdentifierKind.WORD, rf"\b({_PERSON}),?[ ](?:M\.?D|Ph\.?D|MBBS|FACS|CRNA|APRN|PharmD|LCSW|D\.?P\.?M)\b"),
    (IdentifierKind.WORD, rf"\b({_PERSON}),[ ](?:R\.?N|N\.?P|D\.?O|P\.?A(?:-C)?|DPT|LPN|RD|MSW|OTR)\b"),
    (
        IdentifierKind.WORD,
        rf"(?im:(?:^|[\t ;|(])(?:{_ROLES})[ ]*[:=][ \t]*)(?:Dr\.?[ ])?({_PERSON_OR_REVERSED})",
    ),
    (IdentifierKind.WORD, rf"(?i:\b(?:by|with|from|to|per|cc)[ ]+dr\.?[ ]+)({_PERSON})"),
    (
        IdentifierKind.WORD,
        r"(?i:\b(?:dictated|signed|reviewed|seen|performed|examined|accompanied|reported|interpreted)"
        r" by[: ]+)"
        rf"({_PERSON})",
    ),
    (IdentifierKind.WORD, rf"(?i:\b(?:{_RELATIVES}),?[ ]+(?:is[ ]|named[ ]|called[ ]|\()?)({_PROPER})"),
    (
        IdentifierKind.WORD,
        r"(?i:\b(?:sp(?:oke|eak)|talked|discussed|met|called|paged?|contacted|informed|notified|per)[ ]+"
        rf"(?:with[ ]+|to[ ]+|by[ ]+)?(?:dr\.?[ ]+)?)({_PROPER})",
    ),
    (IdentifierKind.WORD, rf"(?i:\b(?:named|called|goes by|known as|nickname)[ ]+)({_PROPER})"),
    (IdentifierKind.WORD, rf"(?:^|[.:]\s+|\n[ ]*)({_PROPER}),?[ ]+(?:(?:is|was)[ ])?(?:an?|the)[ ]+\d"),
    (
        IdentifierKind.WORD,
        r"(?i:\b(?:lives|living|resides|residing|born|moved|grew up|works|worked|employed|travel+ed|native)"
        rf"[ ]+(?:in|at|to|from|near|of|for)[ ]+)({_PERSON})",
    ),
)
NOT_NAMES = word_set(
    """
    patient pt the she he they this that there his her with without and or for from to at in on of by no not
    none unknown self same see per dr mr mrs ms miss mx md phd rn np do was were is are has had name date time
    denies reports states presents admitted discharged transferred history physical chief complaint
    attending physician provider surgeon nurse practitioner assistant resident fellow intern staff
    department emergency medical medicine surgery general family primary care unit floor room service team
    mrn ssn dob sex age gender transcribed admit discharge
    dictated signed electronically reviewed seen performed examined interpreted report note notes summary
    allergies medications assessment plan impression diagnosis procedure findings hospital clinic center home
    january february march april may june july august september october november december
    monday tuesday wednesday thursday friday saturday sunday left right both normal stable pending deceased
    mother father wife husband son daughter brother sister a an i ii iii iv v
    """
)
