"""Which identifiers can be trusted: the NPI check digit, and whether a CCN is of the row's own kind of provider.

The last four characters of a CMS certification number say what kind of provider it was issued to (CMS State
Operations Manual, chapter 2, section 2779A). Vendors and CRM users do print the number of a hospital's home health
agency or nursing unit on the hospital itself; such a number names another organisation and is not used.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# First number of each block and the class of the block, to the next one.
_BLOCKS: tuple[tuple[int, str], ...] = (
    (0, "unknown"),
    (1, "acute"),
    (880, "acute"),
    (900, "acute"),
    (1000, "fqhc"),
    (1200, "addiction"),
    (1225, "acute"),  # medical assistance facilities
    (1300, "cah"),
    (1400, "cmhc"),
    (1500, "hospice"),
    (1800, "fqhc"),
    (1990, "acute"),  # religious non-medical institutions
    (2000, "ltch"),
    (2300, "dialysis"),
    (3000, "acute"),  # tuberculosis hospitals, retired
    (3025, "rehab"),
    (3100, "home_health"),
    (3200, "corf"),
    (3300, "childrens"),
    (3400, "rural_clinic"),
    (3500, "dialysis"),
    (3800, "rural_clinic"),
    (4000, "psych"),
    (4500, "corf"),
    (4600, "cmhc"),
    (4800, "corf"),
    (4900, "cmhc"),
    (5000, "snf"),
    (6500, "therapy"),
    (7000, "home_health"),
    (8500, "rural_clinic"),
    (9000, "home_health"),
    (9800, "transplant"),
)
_STARTS = np.array([start for start, _ in _BLOCKS])
_CLASSES = pa.array([name for _, name in _BLOCKS], pa.string())

# A letter in third place: a unit inside a hospital, which keeps the hospital's own last digits.
_UNIT_LETTERS = {"S": "psych_unit", "M": "psych_unit", "T": "rehab_unit", "R": "rehab_unit", "V": "addiction"}
_SWING_BED_LETTERS = "UWYZ"
_MEDICAID_LETTERS = {
    **dict.fromkeys("ABCDEF", "snf"),  # nursing facilities that Medicaid alone pays
    **dict.fromkeys("GH", "disability"),
    "J": "psych",
    "K": "home_health",
    "L": "psych_residential",
}

HOSPITAL = "hospital"
GROUPS: dict[str, str] = {
    "acute": HOSPITAL,
    "cah": HOSPITAL,
    "childrens": HOSPITAL,
    "psych": HOSPITAL,
    "rehab": HOSPITAL,
    "ltch": HOSPITAL,
    "emergency": HOSPITAL,
    "psych_unit": HOSPITAL,
    "rehab_unit": HOSPITAL,
}
"""Provider classes that may stand on one another's rows; a class not named here is a group of its own.

Hospitals are one group: a hospital that becomes critical access, or moves between acute and long-term care, is issued
a new number while rows elsewhere keep the old one, and corroboration guards the rest.
"""

SPECIALTIES: dict[str, str] = {
    "acute": "general",
    "cah": "general",
    "childrens": "general",
    "emergency": "general",
    "psych": "psych",
    "psych_unit": "psych",
    "rehab": "rehab",
    "rehab_unit": "rehab",
    "ltch": "ltch",
}
"""What a hospital does: a rehabilitation unit often bears its hospital's name and address, and is another account."""

_KIND_WORDS: tuple[tuple[str, str], ...] = (
    ("home health", "home_health"),
    ("homecare", "home_health"),
    ("home care", "home_health"),
    ("hospice", "hospice"),
    ("skilled nursing", "snf"),
    ("nursing", "snf"),
    ("dialysis", "dialysis"),
    ("kidney", "dialysis"),
    ("renal", "dialysis"),
    ("rural health clinic", "rural_clinic"),
    ("idn", "system"),
    ("health system", "system"),
    ("corporate parent", "system"),
    ("division", "system"),
    ("hospital", HOSPITAL),
    ("acute", HOSPITAL),
    ("psychiatric", HOSPITAL),
    ("rehabilitation", HOSPITAL),
    ("childrens", HOSPITAL),
    ("critical access", HOSPITAL),
    ("physician", "physicians"),
    ("surgery", "asc"),
)
_TELLING = "home|hospice|dialysis|kidney|renal|nurs|snf|snu"  # without one of these no name gives its kind away
_TELLING_NAME = re.compile(
    r"(?P<home_health>\bhome ?(?:health|care|nursing)|\bat home nursing|\bnursing services\b|\bvisiting nurse)"
    r"|(?P<hospice>\bhospice\b)"
    r"|(?P<dialysis>\bdialysis\b|\bkidney (?:care|center)\b|\brenal (?:care|center)\b)"
    r"|(?P<snf>\bskilled nursing\b|\bnursing (?:home|facility|center|centre|care center|and rehab|& rehab)"
    r"|\bd/?p[ /-]*snf\b|\bsnf\b|\bsnu\b)"
)
_SPECIALTY_WORDS: tuple[tuple[str, str], ...] = (
    ("rehabilitation", "rehab"),
    ("psychiatric", "psych"),
    ("behavioral", "psych"),
    ("long term", "ltch"),
    ("short term", "general"),
    ("critical access", "general"),
    ("children", "general"),
    ("acute care", "general"),
)


def valid_npi(npis: pa.Array) -> pa.Array:
    """The NPI where its check digit holds, null elsewhere. Source: ISO 7812 check digit over 80840 + NPI."""
    shaped = pc.match_substring_regex(npis, r"^[12][0-9]{9}$")
    if not pc.any(shaped).as_py():
        return pa.nulls(len(npis), npis.type)
    safe = pc.if_else(pc.fill_null(shaped, fill_value=False), npis, "0000000000").cast(pa.string())
    digits = np.array(safe.to_pylist(), dtype="S10").view(np.uint8).reshape(-1, 10).astype(np.int64) - ord("0")
    doubled = digits[:, 0:9:2] * 2
    total = 24 + (doubled - 9 * (doubled > 9)).sum(axis=1) + digits[:, 1:9:2].sum(axis=1) + digits[:, 9]
    valid = pc.and_(pc.fill_null(shaped, fill_value=False), pa.array(total % 10 == 0))
    return pc.if_else(valid, npis, pa.scalar(None, npis.type))


def ccn_class(ccn: str) -> str:
    """Class of provider a CCN was issued to: acute, cah, snf, home_health, ...; `malformed` when it is none."""
    return str(ccn_classes(pa.array([ccn], pa.string()))[0].as_py())


def ccn_classes(ccns: pa.Array) -> pa.Array:
    """Class per number; null stays null, `malformed` where it is no certification number."""
    ccns = ccns.cast(pa.string())
    if ccns.null_count == len(ccns):
        return ccns
    plain = pc.fill_null(pc.match_substring_regex(ccns, "^[0-9]{6}$"), fill_value=False)
    last_four = pc.if_else(plain, pc.utf8_slice_codeunits(ccns, 2, 6), "0").cast(pa.int64())
    blocks = np.searchsorted(_STARTS, last_four.to_numpy(zero_copy_only=False), side="right") - 1
    numeric = pc.take(_CLASSES, pa.array(blocks))
    if pc.all(pc.or_kleene(plain, pc.is_null(ccns))).as_py():
        return pc.if_else(pc.is_null(ccns), pa.scalar(None, pa.string()), numeric)
    lettered = pa.array(
        [None if c is None or p else _lettered(c) for c, p in zip(ccns.to_pylist(), plain.to_pylist(), strict=True)],
        pa.string(),
    )
    return pc.if_else(plain, numeric, lettered)


def _lettered(ccn: str) -> str:
    """Class of a number with a letter: a unit in third place, an emergency hospital at the end."""
    text = ccn.upper()
    if len(text) != 6 or not text[:2].isalnum() or not (text[3:5].isdigit()):
        return "malformed"
    if text[2].isdigit() and text[5] in "EF":
        return "emergency"
    if not text[5].isdigit():
        return "malformed"
    if text[2] in _UNIT_LETTERS:
        return _UNIT_LETTERS[text[2]]
    if text[2] in _SWING_BED_LETTERS:
        return "snf"
    return "opo" if text[2] == "P" else _MEDICAID_LETTERS.get(text[2], "malformed")


def group_of_class(provider_class: str | None) -> str | None:
    """The group a provider class belongs to; null for unknown and malformed."""
    if provider_class in (None, "unknown", "malformed"):
        return None
    return GROUPS.get(str(provider_class), provider_class)


def group_of_kind(kind: str | None) -> str | None:
    """The group that a row's own type text names (vendor firm and hospital type, CRM type); null if it names none."""
    if not kind:
        return None
    text = kind.lower()
    return next((group for word, group in _KIND_WORDS if word in text), None)


def groups_of_names(names: pa.Array) -> pa.Array:
    """Kind of organisation that names give away; null for most. Hospitals' names do not tell them from their units."""
    lowered = pc.utf8_lower(names.cast(pa.string()))
    telling = pc.fill_null(pc.match_substring_regex(lowered, _TELLING), fill_value=False)
    if not pc.any(telling).as_py():
        return pa.nulls(len(names), pa.string())
    asked = pc.if_else(telling, lowered, pa.scalar(None, pa.string()))
    return groups_of(asked, group_of_name)


def group_of_name(name: str | None) -> str | None:
    """The kind of organisation a name gives away beyond doubt; hospitals' names do not tell them from their units."""
    found = _TELLING_NAME.search(name.casefold()) if name else None
    return found.lastgroup if found else None


def specialty_of_class(provider_class: str | None) -> str | None:
    """What a hospital of that class does; null for anything else."""
    return SPECIALTIES.get(provider_class or "")


def specialty_of_kind(kind: str | None) -> str | None:
    """What a hospital does according to its row's type text; null where that does not say."""
    text = (kind or "").lower()
    return next((specialty for word, specialty in _SPECIALTY_WORDS if word in text), None)


def groups_of(texts: pa.Array, function: Callable[[str | None], str | None]) -> pa.Array:
    """Apply a function of one text once per distinct text."""
    encoded = texts.cast(pa.string()).dictionary_encode()
    groups = pa.array([function(text) for text in encoded.dictionary.to_pylist()], pa.string())
    return pc.take(groups, encoded.indices) if len(groups) else pa.nulls(len(texts), pa.string())
