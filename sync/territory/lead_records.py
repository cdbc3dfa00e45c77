"""Decisions on leads as text that is kept and replayed: the same values give the same bytes."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import TypeAdapter

from sync.territory.leads import Basis, Inputs, Routed, route_lead

_BASIS: TypeAdapter[Basis] = TypeAdapter(Basis)
_INPUTS: TypeAdapter[Inputs] = TypeAdapter(Inputs)
_ROUTED: TypeAdapter[Routed] = TypeAdapter(Routed)


def basis_text(basis: Basis) -> str:
    """Canonical JSON of what all leads of a day share."""
    return _canonical(_BASIS.dump_python(basis, mode="json"))


def inputs_text(inputs: Inputs) -> str:
    """Canonical JSON of what one decision rests on. Of the person only the domain of the address is kept."""
    lead = inputs.lead.model_copy(update={"email": _domain(inputs.lead.email) if inputs.lead.email else ""})
    return _canonical({**_INPUTS.dump_python(inputs, mode="json"), "lead": lead.model_dump(mode="json")})


def routed_text(routed: Routed) -> str:
    """Canonical JSON of a decision with its trace."""
    return _canonical(_ROUTED.dump_python(routed, mode="json"))


def read_basis(text: str) -> Basis:
    """The basis that `basis_text` wrote."""
    return _BASIS.validate_json(text)


def read_inputs(text: str) -> Inputs:
    """The inputs that `inputs_text` wrote."""
    return _INPUTS.validate_json(text)


def read_routed(text: str) -> Routed:
    """The decision that `routed_text` wrote."""
    return _ROUTED.validate_json(text)


def replay(inputs: str, basis: str) -> str:
    """The decision that stored inputs give, as `routed_text`."""
    return routed_text(route_lead(read_inputs(inputs), read_basis(basis)))


def digest(text: str) -> str:
    """sha256 of a text."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _domain(email: str) -> str:
    """The address without the person: `@acme.example`."""
    return "@" + email.rpartition("@")[2].lower()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
