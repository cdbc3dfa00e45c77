"""Profiles of small worlds, by the shipped policies unless a test changes them; who belongs together is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from jobs.engines import PolarsEngine
from mappings.load import load
from mappings.policy import Mappings
from sync.engine import Engine
from sync.enrichment import ACCOUNTS
from sync.segmentation.classify import Evidence, classify
from sync.segmentation.holders import CONFIRMED
from sync.segmentation.members import state_law
from sync.segmentation.profiles import Book, profiles
from sync.segmentation.tiers import assign_tiers
from sync.world import CONTACTS, LINKS, OPPORTUNITIES, SIGNALS, TEXT, World
from tests.fixtures.small_world import Row, world

MAPPINGS = load()
Profiles = Callable[..., Mapping[str, Row]]


def changed(**parts: Mapping[str, Any]) -> Mappings:
    """The shipped mappings with policies changed: `segments={"idn_profile": "key_network"}`."""
    policies = MAPPINGS.policies
    for name, values in parts.items():
        policies = policies.model_copy(update={name: getattr(policies, name).model_copy(update=dict(values))})
    return MAPPINGS.model_copy(update={"policies": policies})


def made(
    engine: Engine,
    firms: Sequence[Row],
    facts: Sequence[Row] = (),
    *,
    as_of: str = "2026-01-15",
    mappings: Mappings = MAPPINGS,
    **tables: Sequence[Row],
) -> Mapping[str, Row]:
    """Rows of PROFILES by vendor id. A CRM record of a firm has its vendor id as the record id."""
    accounts = engine.table([{**row, "account_id": row["firm_id"]} for row in firms], ACCOUNTS)
    triples = [_triple(row["firm_id"], row.get("idn_id") or row["firm_id"]) for row in firms]
    holders = engine.table(triples, dict.fromkeys(("account_id", "system_account_id", "holder_account_id"), TEXT))
    confirmed = engine.table([_confirmed(row, as_of) for row in facts], CONFIRMED)
    evidence = Evidence(
        accounts=accounts,
        holders=holders,
        facts=confirmed,
        law=mappings.law,
        as_of=as_of,
        segments=mappings.policies.segments,
    )
    known = classify(evidence, mappings.policies.tiers, engine)
    linked = [
        {"source": source, "source_id": row["firm_id"], "account_id": row["firm_id"], "how": "given"}
        for row in firms
        for source in ("definitive", "salesforce")
    ]
    book = Book(
        world=_world(engine, tables),
        links=engine.table(linked, LINKS),
        accounts=accounts,
        holders=holders,
        facts=known,
        tiers=assign_tiers(holders, known, mappings.policies.tiers, engine),
        law=state_law(mappings.law, as_of, engine),
        gone=engine.table([], {"account_id": TEXT}),
    )
    policies = mappings.policies
    found = profiles(book, policies.segments, policies.scores, as_of, engine)
    return {row["account_id"]: row for row in engine.rows(found)}


def _triple(account: str, system: str) -> Row:
    return {"account_id": account, "system_account_id": system, "holder_account_id": system}


def _confirmed(row: Row, as_of: str) -> Row:
    start, end = row.get("valid_from") or "", row.get("valid_to") or "9999-12-31"
    return {
        "account_id": row["firm_id"],
        "fact": row["fact"],
        "category": row.get("category") or "",
        "value": row["value"],
        "valid_from": start,
        "in_force": start <= as_of < end,
        "fact_source": "facts:f.csv:row 2",
    }


def _world(engine: Engine, tables: Mapping[str, Sequence[Row]]) -> World:
    schemas = {"signals": SIGNALS, "contacts": CONTACTS, "opportunities": OPPORTUNITIES}
    bare = world()
    given = {name: engine.table(rows, schemas[name]) for name, rows in tables.items()}
    given.setdefault("opportunities", engine.table([], OPPORTUNITIES))
    return World(**{**{name: getattr(bare, name) for name in World.__dataclass_fields__}, **given})


@pytest.fixture(scope="session")
def profile_of() -> Profiles:
    """`made` on Polars."""

    def on_polars(*args: Any, **values: Any) -> Mapping[str, Row]:
        return made(PolarsEngine(), *args, **values)

    return on_polars
