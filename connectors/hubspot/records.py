"""A HubSpot record as one flat mapping: its properties beside id, archived and its associations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

VERSION = "hs_lastmodifieddate"
MERGED_IDS = "hs_merged_object_ids"
OBJECT_ID = "hs_object_id"
PARENT = "hs_parent_company_id"

_ENVELOPE = {"id", "archived", "archivedAt", "createdAt", "updatedAt"}
_PRIMARY_TYPES = ("deal_to_company", "5")  # the primary company of a deal, by name and by number


def property_names(fields: Iterable[str], *extra: str) -> list[str]:
    """The properties to ask for, once each: envelope fields and associations come without asking."""
    asked = (name for name in fields if name not in _ENVELOPE and "." not in name)
    return list(dict.fromkeys((*asked, *extra)))


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with its properties at the top; `associations.companies` is the text id of its (primary) company."""
    values: dict[str, Any] = dict(record.get("properties") or {})
    values.update({name: record[name] for name in _ENVELOPE if name in record})
    values["id"] = str(record.get("id", ""))
    values["archived"] = bool(record.get("archived", False))
    for target, listed in (record.get("associations") or {}).items():
        ends = [(str(end.get("id")), str(end.get("type"))) for end in listed.get("results") or ()]
        values[f"associations.{target}"] = primary(ends)
    return values


def primary(ends: Sequence[tuple[str, str]]) -> str | None:
    """The end with a primary type, else the first: (id, type) pairs."""
    chosen = next((end for end, kind in ends if kind in _PRIMARY_TYPES), None)
    return chosen or (ends[0][0] if ends else None)
