"""Writes identifiers.tsv: identifiers worked out from the recipe alone, by Python's own UUIDv5 and SHA-256.

    cd tests/it/fhir/golden && python3 identifiers.py > identifiers.tsv

A line is a case of ../identity.rs, the identifier it must have, and the text it is the UUIDv5 of. None of these ever changes:
a changed identifier would send everything a second time.
"""

from hashlib import sha256
from uuid import UUID, uuid5

NAMESPACE = UUID("16d937dd-3dd2-4935-85b5-98d2b1f0d4f6")
READING = "reading|p-1|99504-3|dexcom:82AJ0D|1714634100"
MOLAR = "reading|p-1|105272-9|dexcom:82AJ0D|1714634100"
MOVED = "reading|p-1|99504-3|dexcom:82AJ0D|1714637700"
DATES = "2024-05-01|2024-05-14"


def urn(text):
    return "urn:uuid:" + str(uuid5(NAMESPACE, text))


def again(text, replaced):
    """A fact that returns after `replaced` had taken its place."""
    return text + "|" + replaced


def period(kind, loinc, unit, *figures):
    digest = sha256("".join(figure + "\n" for figure in figures).encode()).hexdigest()
    return f"{kind}|p-1|{loinc}|{DATES}|{unit}|{digest}"


def figures(mean, gmi):
    ranges = ["3.01", "7.99", "65.00", "20.00", "4.00"]
    return [mean, *ranges, gmi, "36.00", "14", "95.00"]


def summary(mean, gmi):
    return period("summary", "107931-8", "mg/dL", *figures(mean, gmi))


def mean(value):
    return period("member", "97507-8", "mg/dL", value)


FIRST, OTHER = READING + "|121", READING + "|120"
BACK = again(FIRST, urn(OTHER))
FORTH = again(OTHER, urn(BACK))
SUMMARY, CHANGED = summary("145.3", "6.78"), summary("146.0", "6.80")
SUMMARY_BACK = again(SUMMARY, urn(CHANGED))

CASES = {
    "mass": FIRST,
    "molar": MOLAR + "|6.7",
    "converted": READING + "|108",
    "below": READING + "|<40",
    "above": MOLAR + "|>22.2",
    "absent": READING + "|error",
    "escaped": "reading|p-1|99504-3|a\\|b\\\\c|1714634100|121",
    "corrected": OTHER,
    "corrected back": BACK,
    "corrected forth again": FORTH,
    "corrected back twice": again(FIRST, urn(FORTH)),
    "moved": MOVED + "|121",
    "moved back": again(FIRST, urn(MOVED + "|121")),
    "device": "device|p-1|Dexcom G6|serial:82AJ0D",
    "device without serial number": "device|p-1|Dexcom G6|sensor:dexcom:82AJ0D",
    "mean": mean("145.3"),
    "summary": SUMMARY,
    "changed mean": mean("146.0"),
    "changed summary": CHANGED,
    "mean back": again(mean("145.3"), urn(mean("146.0"))),
    "summary back": SUMMARY_BACK,
    "summary forth again": again(CHANGED, urn(SUMMARY_BACK)),
}

if __name__ == "__main__":
    for case, text in CASES.items():
        print(case, urn(text), text, sep="\t")
