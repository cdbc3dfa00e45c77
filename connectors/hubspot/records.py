"""What a HubSpot record is made of: the properties to ask for, and one flat mapping for comparing values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

VERSION = "hs_lastmodifieddate"
MERGED_IDS = "hs_merged_object_ids"
OBJECT_ID = "hs_object_id"
PARENT = "hs_parent_company_id"

_ENVELOPE = {"id", "archived", "archivedAt", "createdAt", "updatedAt"}


def property_names(fields: Iterable[str], *extra: str) -> list[str]:
    """The properties to ask for, once each: envelope fields and associations come without asking."""
    asked = (name for name in fields if name not in _ENVELOPE and "." not in name)
    return list(dict.fromkeys((*asked, *extra)))


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with its properties at the top, beside id and archived."""
    values: dict[str, Any] = dict(record.get("properties") or {})
    values.update({name: record[name] for name in _ENVELOPE if name in record})
    values["id"] = str(record.get("id", ""))
    values["archived"] = bool(record.get("archived", False))
    return values
