"""How the values of each type and of each special field are read, whatever CRM or vendor they come from. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mappings.canonical import FieldType
from mappings.identifiers import ccn_6, email, npi_10, padded_id, phone_10, state_code, web_domain
from mappings.transforms import (
    basis_points,
    canonicaliser,
    clean_text,
    instant,
    iso_date,
    money_cents,
    whole_number,
    yes_no,
)

Parser = Callable[[Any], Any]
"""From a JSON value or text to a fact; None = empty or unreadable."""

PARSERS: dict[FieldType, Parser] = {
    FieldType.TEXT: clean_text,
    FieldType.PICKLIST: clean_text,
    FieldType.ACCOUNT_REF: canonicaliser(FieldType.ACCOUNT_REF),
    FieldType.USER_REF: canonicaliser(FieldType.USER_REF),
    FieldType.INTEGER: whole_number,
    FieldType.MONEY: money_cents,
    FieldType.SHARE: basis_points,
    FieldType.BOOLEAN: yes_no,
    FieldType.DATE: iso_date,
    FieldType.INSTANT: instant,
}
"""How a fact of each type is read from JSON or text: dollars become cents, percent becomes basis points."""

FORMS: dict[str, Parser] = {
    "phone": phone_10,
    "domain": web_domain,
    "state": state_code,
    "ccn": ccn_6,
    "npi": npi_10,
    "email": email,
    "definitive_id": lambda value: padded_id(value, None),
}
"""Fields with a form of their own, by canonical name. `zip5` needs the state and is done per row."""
