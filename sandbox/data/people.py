"""Writes the roster and territories of the demo as policy overlays, from the made-up people file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.data.tables import Row

ISLANDS = ("AS", "GU", "MP", "PR", "VI")
OWNER_ORDER = ["named", "root_owner", "majority_owner", "state_primary", "state_geo"]


def roster(users: Sequence[Row]) -> dict[str, Any]:
    """`reps.yaml`: every person with role, states, service lines and leave."""
    return {"policy": _header("reps-demo", "sales operations"), "reps": [_rep(user) for user in users]}


def territories(regions: Sequence[Row], named: Mapping[str, str]) -> dict[str, Any]:
    """`territories.yaml`: one territory per Census division, one for the island territories, and the named accounts."""
    divisions: dict[str, list[str]] = {}
    for row in regions:
        divisions.setdefault(row["Division"], []).append(row["State Code"])
    drawn = [_territory(name, sorted(states)) for name, states in sorted(divisions.items())]
    return {
        "policy": _header("territories-demo", "sales operations"),
        "owner_order": OWNER_ORDER,
        "named_accounts": dict(sorted(named.items())),
        "territories": [*drawn, _territory("Islands", list(ISLANDS))],
    }


def _header(policy_id: str, owner: str) -> dict[str, Any]:
    return {"id": policy_id, "version": 1, "owner": owner, "effective_from": "2020-01-01"}


def _territory(name: str, states: list[str]) -> dict[str, Any]:
    return {"id": name.upper().replace(" ", "-"), "name": name, "states": states}


def _rep(user: Row) -> dict[str, Any]:
    rep: dict[str, Any] = {
        "email": user["email"],
        "name": user["name"],
        "role": user["role"],
        "states": user["states"].split(";"),
        "service_lines": [line.lower().replace(" ", "_") for line in user["service_lines"].split(";")],
    }
    if user["active"] != "true":
        rep["active"] = False
    return rep | {key: user[key] for key in ("leave_from", "leave_to") if user[key]}
