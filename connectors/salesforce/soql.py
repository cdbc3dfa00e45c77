"""The only place that writes SOQL: checked identifiers, escaped literals, instants in UTC."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from connectors.salesforce.ids import to_18

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}", re.ASCII)
_ESCAPES = str.maketrans(
    {"\\": r"\\", "'": r"\'", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\b": r"\b", "\f": r"\f"}
)
_MAX_HOPS = 5  # parent relationships that SOQL follows in one path


def select(native_object: str, fields: Iterable[str], *, where: str = "", limit: int | None = None) -> str:
    """Give the query text. Fields may follow parents (LastModifiedBy.Name); repeated ones are asked for once.

    `where` must come from this module. Raises ValueError for a name that is not an identifier.
    """
    names = ", ".join(dict.fromkeys(field_path(name) for name in fields))
    parts = ["SELECT", names, "FROM", identifier(native_object)]
    if where:
        parts += ["WHERE", where]
    if limit is not None:
        parts += ["LIMIT", str(int(limit))]
    return " ".join(parts)


def identifier(name: str) -> str:
    """Give the name back when it is one API name. Raises ValueError otherwise."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"not a Salesforce API name: {name[:80]!r}; expected letters, digits and underscores")
    return name


def field_path(path: str) -> str:
    """Give the path back when each of its dot-separated parts is an API name. Raises ValueError otherwise."""
    parts = path.split(".")
    if len(parts) > _MAX_HOPS + 1:
        raise ValueError(f"field path {path[:80]!r} follows {len(parts) - 1} parents; SOQL follows {_MAX_HOPS}")
    return ".".join(identifier(part) for part in parts)


def quote(text: str) -> str:
    """Give the text as a SOQL string literal."""
    return f"'{text.translate(_ESCAPES)}'"


def equals(field: str, text: str) -> str:
    """Give the condition field = 'text'."""
    return f"{field_path(field)} = {quote(text)}"


def id_in(field: str, record_ids: Sequence[str]) -> str:
    """Give the condition that a reference is one of the ids. Raises ValueError for none, or for what is not an id."""
    if not record_ids:
        raise ValueError("an IN condition needs at least one id")
    listed = ",".join(quote(to_18(record_id)) for record_id in record_ids)
    return f"{field_path(field)} IN ({listed})"


def text_in(field: str, texts: Sequence[str]) -> str:
    """Give the condition that a field is one of the texts. Raises ValueError for none."""
    if not texts:
        raise ValueError("an IN condition needs at least one value")
    return f"{field_path(field)} IN ({','.join(map(quote, texts))})"


def is_false(field: str) -> str:
    """Give the condition that a checkbox is not set."""
    return f"{field_path(field)} = false"


def at_or_after(field: str, iso_instant: str) -> str:
    """Give the condition field >= instant, down to whole seconds: Salesforce stamps rows with no finer grain.

    Raises ValueError for text that is not an ISO instant with a zone.
    """
    return f"{field_path(field)} >= {instant(iso_instant)}"


def instant(iso_instant: str) -> str:
    """Give the instant as an unquoted SOQL literal in UTC, rounded down to the second."""
    moment = datetime.fromisoformat(iso_instant)
    if moment.tzinfo is None:
        raise ValueError(f"instant {iso_instant} has no zone; expected UTC text such as 2026-01-31T08:00:00.000Z")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
