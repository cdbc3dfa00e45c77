"""A lead as it is handed in, and the facts that routing rules may ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from mappings.facts import PolicyFact
from mappings.identifiers import ccn_6, npi_10, phone_10, state_code, zip_5
from mappings.schema import Strict
from mappings.structure_policy import Level
from mappings.transforms import clean_text, money_cents, salesforce_id_18


class Lead(Strict):
    """One lead. Nothing of the person but the mail domain is kept."""

    id: str = ""  # of the sender
    received_on: str = ""  # ISO date; empty = today
    organisation: str = ""
    street: str = ""
    city: str = ""
    state: str = ""  # USPS code
    zip5: str = ""
    phone: str = ""  # of the organisation
    email: str = ""  # only its domain is used
    website: str = ""
    account: str = ""  # account id, record id or vendor id, where the sender knows it
    ccn: str = ""
    npi: str = ""
    service_line: str = ""
    product: str = ""
    category: str = ""
    function: Literal["", "CLINICAL", "PROCUREMENT", "IT", "BUDGET"] = ""  # of whoever asks
    amount_cents: int | None = Field(default=None, ge=0)
    source: str = ""

    @model_validator(mode="before")
    @classmethod
    def _dollars(cls, data: object) -> object:
        """`amount` in dollars is taken as well."""
        if not isinstance(data, Mapping) or "amount" not in data:
            return data
        rest = {name: value for name, value in data.items() if name != "amount"}
        return {**rest, "amount_cents": money_cents(data["amount"])}

    @field_validator("*", mode="before")
    @classmethod
    def _one_form(cls, value: object, info: Any) -> object:
        """Every text in the form accounts have it in; what cannot be read says nothing."""
        if info.field_name == "amount_cents":
            return value
        text = clean_text(value) or ""
        if info.field_name == "zip5":
            return zip_5(text, info.data.get("state")) or ""
        read = _READ.get(info.field_name)
        return (read(text) or "") if text and read else text


def _word(text: str) -> str:
    return text.upper().replace(" ", "_")


_READ: Mapping[str, Callable[[str], str | None]] = {
    "phone": phone_10,
    "state": state_code,
    "account": salesforce_id_18,
    "ccn": ccn_6,
    "npi": npi_10,
    "service_line": _word,
    "category": _word,
    "function": _word,
}


def _fact(name: str, type_: type, meaning: str, values: tuple[str, ...] = ()) -> PolicyFact:
    return PolicyFact(name=name, type=type_, meaning=meaning, values=values)


LEAD_FACTS: tuple[PolicyFact, ...] = (
    _fact("is_blocked", bool, "Its domain or name is on the junk list"),
    _fact("is_identifiable", bool, "It names an organisation, a domain of one, or an id"),
    _fact("lead_source", str, "Where the lead came from"),
    _fact("lead_state", str, "State the lead gives"),
    _fact("service_line", str, "Service line asked about, or that of the product"),
    _fact("product", str, "Product asked about"),
    _fact("category", str, "Purchasing category"),
    _fact("function", str, "Function of whoever asks"),
    _fact("amount_cents", int, "Size of the deal in cents"),
    _fact("is_specialised", bool, "The line or product is sold by specialists"),
    _fact("is_matched", bool, "The lead is about an account that is known"),
    _fact("is_held", bool, "A hold or a pin on the account is in force"),
    _fact("hold_kind", str, "Kind of that hold"),
    _fact("motion", str, "How the account is sold to"),
    _fact("has_overlay", bool, "A specialist covers the line in the account's state"),
    _fact("authority_level", str, "Who decides for the account, line and category", get_args(Level)),
    _fact("authority_basis", str, "How that is known", ("EXPLICIT", "DELEGATED", "DEFAULT")),
    _fact("account_tier", str, "Tier of the account"),
    _fact("org_type", str, "Type of the deciding organisation"),
    _fact("state", str, "State of the account"),
    _fact("in_system", bool, "The account belongs to a health system"),
    _fact("customer", bool, "It has bought before"),
    _fact("open_opportunity", bool, "An opportunity is open"),
    _fact("account_queue", str, "Routing queue of the account"),
)
"""Facts of leads.yaml, one value per lead; unknown is null."""
