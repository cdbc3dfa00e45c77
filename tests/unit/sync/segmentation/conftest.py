"""Profiles of small worlds, by the shipped policies unless a test changes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from jobs.engines import PolarsEngine
from mappings.load import load
from mappings.policy import Mappings
from sync.reconcile import find_out
from tests.fixtures.small_world import SCHEMAS, Row, world
from sync.world import CONTACTS, SIGNALS

MAPPINGS = load()
Profiles = Callable[..., Mapping[str, Row]]


def changed(**parts: Mapping[str, Any]) -> Mappings:
    """The shipped mappings with policies changed: `segments={"idn_profile": "key_network"}`."""
    policies = MAPPINGS.policies
    for name, values in parts.items():
        policies = policies.model_copy(update={name: getattr(policies, name).model_copy(update=dict(values))})
    return MAPPINGS.model_copy(update={"policies": policies})


@pytest.fixture(scope="session")
def profiles() -> Profiles:
    """Rows of PROFILES by vendor id: `profiles(firms=[...], facts=[...], as_of=..., mappings=...)`."""

    def made(as_of: str = "2026-01-15", mappings: Mappings = MAPPINGS, **tables: Any) -> Mapping[str, Row]:
        engine = PolarsEngine()
        extra = {name: tables.pop(name, None) for name in ("signals", "contacts")}
        made = world(**tables)
        for name, schema in (("signals", SIGNALS), ("contacts", CONTACTS)):
            if extra[name] is not None:
                object.__setattr__(made, name, engine.table(extra[name], schema))
        found, _ = find_out(made, mappings, as_of, engine)
        assert found.profiles is not None
        firm_of = {r["account_id"]: r["source_id"] for r in engine.rows(found.links)}
        return {firm_of[row["account_id"]]: row for row in engine.rows(found.profiles)}

    return made
