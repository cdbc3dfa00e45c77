"""Canonical forms of what identifies an organisation: phone, ZIP, web domain, NPI, CCN. Pure; never raises.

What cannot be brought into the form is None, except identifiers (CCN, NPI): those stay as printed, so that a wrong one
can be reported as it stands.
"""

from __future__ import annotations

import re

from mappings.transforms import clean_text

_EXTENSION = re.compile(r"(?:ext\.?|extension|x|#)\s*[0-9]{1,6}\s*\Z", re.IGNORECASE)
_PHONE = re.compile(r"[2-9][0-9]{2}[2-9][0-9]{6}")
_NOT_DIGITS = re.compile(r"[^0-9]+")
_ZIP = re.compile(r"([0-9]{3,9})(?:\s*-\s*([0-9]{4}))?\Z")
_HOST_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
_SPREADSHEET_TAIL = re.compile(r"\.0+\Z")
_CCN_SHORT = re.compile(r"[0-9]{4}[0-9A-Z]\Z")

_LEADING_ZEROS = {
    "CT": ("06",),
    "MA": ("01", "02", "05"),
    "ME": ("03", "04"),
    "NH": ("03",),
    "NJ": ("07", "08"),
    "NY": ("005", "06390"),
    "PR": ("006", "007", "009"),
    "RI": ("02",),
    "VI": ("008",),
    "VT": ("05",),
}
"""How the ZIP codes of a state begin that begin with zero (USPS)."""

_STATE_CODES = {
    "ALBERTA": "AB",
    "ALASKA": "AK",
    "ALABAMA": "AL",
    "ARKANSAS": "AR",
    "AMERICAN SAMOA": "AS",
    "ARIZONA": "AZ",
    "BRITISH COLUMBIA": "BC",
    "CALIFORNIA": "CA",
    "COLORADO": "CO",
    "CONNECTICUT": "CT",
    "DISTRICT OF COLUMBIA": "DC",
    "DELAWARE": "DE",
    "FLORIDA": "FL",
    "GEORGIA": "GA",
    "GUAM": "GU",
    "HAWAII": "HI",
    "IOWA": "IA",
    "IDAHO": "ID",
    "ILLINOIS": "IL",
    "INDIANA": "IN",
    "KANSAS": "KS",
    "KENTUCKY": "KY",
    "LOUISIANA": "LA",
    "MASSACHUSETTS": "MA",
    "MANITOBA": "MB",
    "MARYLAND": "MD",
    "MAINE": "ME",
    "MICHIGAN": "MI",
    "MINNESOTA": "MN",
    "MISSOURI": "MO",
    "NORTHERN MARIANA ISLANDS": "MP",
    "MISSISSIPPI": "MS",
    "MONTANA": "MT",
    "NEW BRUNSWICK": "NB",
    "NORTH CAROLINA": "NC",
    "NORTH DAKOTA": "ND",
    "NEBRASKA": "NE",
    "NEW HAMPSHIRE": "NH",
    "NEW JERSEY": "NJ",
    "NEWFOUNDLAND AND LABRADOR": "NL",
    "NEW MEXICO": "NM",
    "NOVA SCOTIA": "NS",
    "NORTHWEST TERRITORIES": "NT",
    "NUNAVUT": "NU",
    "NEVADA": "NV",
    "NEW YORK": "NY",
    "OHIO": "OH",
    "OKLAHOMA": "OK",
    "ONTARIO": "ON",
    "OREGON": "OR",
    "PENNSYLVANIA": "PA",
    "PRINCE EDWARD ISLAND": "PE",
    "PUERTO RICO": "PR",
    "QUEBEC": "QC",
    "RHODE ISLAND": "RI",
    "SOUTH CAROLINA": "SC",
    "SOUTH DAKOTA": "SD",
    "SASKATCHEWAN": "SK",
    "TENNESSEE": "TN",
    "TEXAS": "TX",
    "UTAH": "UT",
    "VIRGINIA": "VA",
    "VIRGIN ISLANDS": "VI",
    "VERMONT": "VT",
    "WASHINGTON": "WA",
    "WISCONSIN": "WI",
    "WEST VIRGINIA": "WV",
    "WYOMING": "WY",
    "YUKON": "YT",
}
"""English name in capitals -> code, of states, districts, territories and Canadian provinces."""


def phone_10(value: object) -> str | None:
    """The ten digits of a North American number; None for anything else, such as 000-000-0000.

    Neither the area code nor the exchange begins with 0 or 1, and no number is one digit ten times.
    """
    text = clean_text(value)
    if text is None:
        return None
    digits = _NOT_DIGITS.sub("", _EXTENSION.sub("", text))
    if len(digits) == 11 and digits[0] == "1":
        digits = digits[1:]
    return digits if _PHONE.fullmatch(digits) and len(set(digits)) > 1 else None


def zip_5(value: object, state: str | None) -> str | None:
    """The first five digits. Lost leading zeros are put back only where the state proves them; else None."""
    text = clean_text(value)
    match = _ZIP.match(_SPREADSHEET_TAIL.sub("", text)) if text else None
    if match is None:
        return None
    digits = match[1]
    if len(digits) in (5, 9):
        return digits[:5] if len(digits) == 5 or match[2] is None else None
    if len(digits) in (7, 8) and match[2] is None:  # ZIP+4 without its hyphen and zeros
        digits = digits[:-4]
    padded = digits.zfill(5)
    return padded if len(digits) < 5 and padded.startswith(_LEADING_ZEROS.get(state or "", ("-",))) else None


def web_domain(value: object) -> str | None:
    """Host of a web address, lower case, without www, port or path; None when it is no host name."""
    text = clean_text(value)
    if text is None:
        return None
    host = text.lower().partition("://")[2] or text.lower()
    host = re.split(r"[/?#\\]", host, maxsplit=1)[0].rpartition("@")[2].partition(":")[0].strip(" .")
    while host.startswith("www."):
        host = host.removeprefix("www.")
    labels = host.split(".")
    valid = len(labels) >= 2 and len(host) <= 253 and not labels[-1].isdigit()
    return host if valid and all(_HOST_LABEL.match(label) for label in labels) else None


def state_code(value: object) -> str | None:
    """USPS code of a state or province, from its code or its English name; any other text in capitals."""
    text = clean_text(value)
    if text is None:
        return None
    word = " ".join(text.upper().split())
    return _STATE_CODES.get(word, word)


_SANDBOX_TAIL = ".invalid"
"""No address ends so (RFC 2606): Salesforce adds it to users of a new or refreshed sandbox, so that none gets mail."""


def email(value: object) -> str | None:
    """Lower-case address, without the ending that a refreshed sandbox puts behind those of its users."""
    text = clean_text(value)
    return text.lower().removesuffix(_SANDBOX_TAIL) or None if text else None


def ccn_6(value: object) -> str | None:
    """A CMS certification number with the leading zero a spreadsheet took; six characters when it is one."""
    text = clean_text(value)
    if text is None:
        return None
    text = _SPREADSHEET_TAIL.sub("", text).upper()
    bare = text.replace("-", "") if re.fullmatch(r"[0-9]{2}-[0-9A-Z]{4}", text) else text
    return f"0{bare}" if _CCN_SHORT.match(bare) else bare


def npi_10(value: object) -> str | None:
    """An NPI without what a spreadsheet added; whether it is valid, `is_npi` says."""
    text = clean_text(value)
    return _SPREADSHEET_TAIL.sub("", text) or None if text else None


def is_npi(text: str | None) -> bool:
    """Ten digits whose check digit fits (Luhn over 80840 and the number)."""
    if text is None or len(text) != 10 or not (text.isascii() and text.isdigit()) or text[0] not in "12":
        return False
    total = 24  # what the prefix 80840 adds
    for position, char in enumerate(reversed(text)):
        digit = int(char) * (2 if position % 2 else 1)
        total += digit - 9 if digit > 9 else digit
    return total % 10 == 0


def padded_id(value: object, digits: int | None) -> str | None:
    """A vendor id; one of digits only gets its leading zeros back up to `digits`."""
    text = clean_text(value)
    if text is None:
        return None
    text = _SPREADSHEET_TAIL.sub("", text)
    return text.zfill(digits) if digits and text.isascii() and text.isdigit() else text or None
