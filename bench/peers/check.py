"""Whether a peer decided what the core decided: every table, row by row, the guards, and the digest of the plan."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from bench.peers.rules import Guard, Outcome
from sync.engine import Frame
from sync.world import Reconciliation

_KEYS = {
    "links": ["source", "source_id"],
    "accounts": ["account_id"],
    "hierarchy": ["account_id"],
    "tiers": ["account_id"],
    "profiles": ["account_id"],
    "ownership": ["account_id"],
    "items": ["sequence"],
    "changes": ["connection", "record_id", "field"],
    "events": ["connection", "record_id"],
}


def check(decided: Reconciliation, peer: Outcome, name: str) -> tuple[str, ...]:
    """Raise SystemExit with the first difference: a ratio between different jobs means nothing.

    Gives the columns that the core fills and the peer does not make: they are work that only the core does.
    """
    for found in _differences(decided, peer):
        raise SystemExit(f"bench: the {name} decides otherwise than the core: {found}")
    return tuple(_lacking(decided, peer))


def _tables(decided: Reconciliation) -> dict[str, pl.DataFrame]:
    plan = decided.plan
    assert decided.profiles is not None
    tables: dict[str, Frame] = {
        **{name: getattr(decided, name) for name in ("links", "accounts", "hierarchy", "tiers", "profiles")},
        "ownership": decided.ownership,
        "items": plan.items,
        "changes": plan.changes,
        "events": plan.events,
    }
    return {name: frame.to_native().collect() for name, frame in tables.items()}


def _lacking(decided: Reconciliation, peer: Outcome) -> Iterator[str]:
    for name, table in _tables(decided).items():
        there = getattr(peer, name).lazy().collect_schema().names()
        filled = (column for column in table.columns if table[column].null_count() < table.height)
        yield from (f"{name}.{column}" for column in filled if column not in there)


def _differences(decided: Reconciliation, peer: Outcome) -> Iterator[str]:
    plan, tables = decided.plan, _tables(decided)
    for name, keys in _KEYS.items():
        yield from _difference(name, tables[name], getattr(peer, name).lazy().collect(), keys)
    guards: tuple[Guard, ...] = tuple(
        sorted((g.guard, g.subject, g.measured, g.population, g.limit, g.breached) for g in plan.guards)
    )
    if guards != peer.guards:
        yield f"guards, such as {sorted(set(guards) ^ set(peer.guards))[:2]}"
    if plan.digest != peer.digest:
        yield f"digest {plan.digest} and {peer.digest}"


def _difference(name: str, expected: pl.DataFrame, found: pl.DataFrame, keys: list[str]) -> Iterator[str]:
    """The columns that both have, cell by cell."""
    columns = [column for column in expected.columns if column in found.columns]
    mine = expected.select(columns).sort(keys)
    theirs = found.select(columns).cast({column: mine.schema[column] for column in columns}).sort(keys)
    if mine.height != theirs.height:
        yield f"{name} has {mine.height} rows and {theirs.height}"
        return
    for column in columns:
        apart = mine[column].ne_missing(theirs[column])
        if apart.any():
            yield f"{name}.{column}: {mine.filter(apart).head(2).rows()} and {theirs.filter(apart).head(2).rows()}"
