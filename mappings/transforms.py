"""One exact form per value. Pure; never raises, whatever the value: what cannot be read is None, or stays as it stands.

Two families: `canonical_text` makes the text by which managed values are compared (unreadable text stays, so that a
person sees it), the parsers below it make facts in typed columns (unreadable becomes None).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from mappings.canonical import FieldType

_SALESFORCE_15 = re.compile(r"[A-Za-z0-9]{15}\Z")
_SUFFIX_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_WHOLE = re.compile(r"[-+]?[0-9]{1,30}(?:\.0*)?\Z")
_INSTANT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{3})[0-9]*)?(?:Z|\+00:?00)\Z")
_EPOCH_MS = re.compile(r"[0-9]{11,14}\Z")
_US_DATE = re.compile(r"([0-9]{1,2})/([0-9]{1,2})/([0-9]{4})\Z")
_MAX_CENTS = 2**62  # well inside a 64-bit column
_HALVES = re.compile("[\ud800-\udfff]")
_TRUE = frozenset(("true", "yes", "y", "1", "t"))
_FALSE = frozenset(("false", "no", "n", "0", "f"))


def clean_text(value: Any) -> str | None:
    """Trimmed NFC text; None for nothing. Half a character, as of a cut emoji, is U+FFFD: no file can hold it."""
    if value is None:
        return None
    text = value if isinstance(value, str) else _plain(value)
    text = text.strip()
    if not text.isascii():
        text = unicodedata.normalize("NFC", _HALVES.sub("\ufffd", text)).strip()
    return text or None


def _plain(value: object) -> str:
    """Text of a JSON value: true/false, numbers without a trailing .0."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)


def canonical_text(value: Any, type_: FieldType) -> str | None:
    """The text by which values of this type are compared; None = empty. Idempotent.

    Numbers are taken in canonical units (cents, basis points). Text that cannot be read as the type stays as it is.
    """
    text = clean_text(value)
    return None if text is None else _CANONICAL[type_](text)


def canonicaliser(type_: FieldType) -> Callable[[Any], str | None]:
    """`canonical_text` of one type, for many values."""
    finish = _CANONICAL[type_]

    def canonicalise(value: Any) -> str | None:
        text = clean_text(value)
        return None if text is None else finish(text)

    return canonicalise


def _same(text: str) -> str:
    return text


def salesforce_id_18(text: str) -> str:
    """The 18-character form of a 15-character Salesforce id; anything else unchanged.

    Each extra character is the bitmap of the capitals among five characters.
    """
    if not _SALESFORCE_15.match(text) or (
        text.isdigit() and not text.startswith("0")
    ):  # a long decimal id is HubSpot's
        return text
    suffix = "".join(
        _SUFFIX_ALPHABET[sum(1 << bit for bit, char in enumerate(text[at : at + 5]) if "A" <= char <= "Z")]
        for at in (0, 5, 10)
    )
    return text + suffix


def _whole_text(text: str) -> str:
    return str(int(text.split(".")[0])) if _WHOLE.match(text) else text


def _boolean_text(text: str) -> str:
    word = text.lower()
    return "true" if word in _TRUE else "false" if word in _FALSE else text


def _date_text(text: str) -> str:
    return iso_date(text) or text


def _instant_text(text: str) -> str:
    return instant(text) or text


_CANONICAL: dict[FieldType, Callable[[str], str]] = {
    FieldType.TEXT: _same,
    FieldType.PICKLIST: _same,
    FieldType.ACCOUNT_REF: salesforce_id_18,
    FieldType.USER_REF: salesforce_id_18,
    FieldType.INTEGER: _whole_text,
    FieldType.MONEY: _whole_text,
    FieldType.SHARE: _whole_text,
    FieldType.BOOLEAN: _boolean_text,
    FieldType.DATE: _date_text,
    FieldType.INSTANT: _instant_text,
}


def whole_number(value: Any) -> int | None:
    """An integer from a number or text such as `1,204` or `17.0`; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if abs(value) < _MAX_CENTS else None
    number = _decimal(value)
    if number is None or number != number.to_integral_value() or abs(number) >= _MAX_CENTS:
        return None
    return int(number)


def money_cents(value: Any) -> int | None:
    """Integer cents of a dollar amount: `$1,400,000,000`, `(1,200)`, `-3.5`, 12.34. Half a cent goes to even."""
    number = _decimal(value)
    if number is None or abs(number) >= _MAX_CENTS // 100:
        return None
    return int((number * 100).to_integral_value())


def basis_points(value: Any) -> int | None:
    """Integer basis points of a percentage: `7.2%`, `7.2`, 7.2 are all 720. Only 0 to 100 percent."""
    text = value.strip().removesuffix("%") if isinstance(value, str) else value
    number = _decimal(text)
    if number is None or not 0 <= number <= 100:
        return None
    return int((number * 100).to_integral_value())


_NUMBER = re.compile(r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,24})(?:\.[0-9]{0,12})?\Z|\.[0-9]{1,12}\Z")


def _decimal(value: Any) -> Decimal | None:
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return _finite(repr(value))
    if not isinstance(value, str):
        return None
    text = value.strip()
    negative = text.startswith("(") and text.endswith(")")
    if negative:
        text = text[1:-1].strip()
    text = text.replace("$", "", 1).strip()
    if text.startswith(("-", "+")) and not negative:
        negative, text = text[0] == "-", text[1:].replace("$", "", 1).strip()
    if not _NUMBER.match(text):
        return None
    number = _finite(text.replace(",", ""))
    return -number if negative and number is not None else number


def _finite(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() and number.adjusted() < 30 else None


def yes_no(value: Any) -> bool | None:
    """True or false of a boolean, or of yes/no, true/false, y/n, 1/0 in any case."""
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else str(value)
    return True if word in _TRUE else False if word in _FALSE else None


def rural(value: Any) -> bool | None:
    """True for Rural, false for Urban."""
    word = value.strip().lower() if isinstance(value, str) else ""
    return {"rural": True, "urban": False}.get(word)


def iso_date(value: Any) -> str | None:
    """ISO date of `2022-07-15`, `7/15/2022`, `2022/07/15`, `20220715`, or the UTC day of an instant."""
    text = clean_text(value)
    if text is None or not text.isascii():
        return None
    if american := _US_DATE.match(text):
        month, day, year = (int(part) for part in american.groups())
        return _date(year, month, day)
    if len(text) > 10:
        moment = instant(text)
        return moment[:10] if moment else None
    parts = (text[:4], text[4:6], text[6:]) if len(text) == 8 and text.isdigit() else text.replace("/", "-").split("-")
    if len(parts) != 3 or not all(part.isdigit() for part in parts) or len(parts[0]) != 4:
        return None
    return _date(int(parts[0]), int(parts[1]), int(parts[2]))


def _date(year: int, month: int, day: int) -> str | None:
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        return None


def instant(value: Any) -> str | None:
    """UTC instant `YYYY-MM-DDTHH:MM:SS.mmmZ` of an ISO text with a zone, or of epoch milliseconds."""
    text = clean_text(value)
    if text is None or not text.isascii():
        return None
    try:
        if match := _INSTANT.match(text):
            datetime.fromisoformat(match[1])
            return f"{match[1]}.{match[2] or '000'}Z"
        if _EPOCH_MS.match(text):
            seconds, millis = divmod(int(text), 1000)
            return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{millis:03d}Z"
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            return None
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return f"{moment.replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
