"""The plan: every difference, in groups, in order, measured against the guards, under one digest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import narwhals as nw
import pyarrow as pa

from mappings.policy import Policies
from sync.engine import Engine, Frame
from sync.frames import cases, conform, one_of
from sync.planning.alarms import circumstances
from sync.planning.circles import untangled
from sync.planning.desired import Compared, Told, compare
from sync.planning.echo import await_echo
from sync.planning.fingerprint import canonical_lines, digest_of
from sync.planning.groups import WRITABLE, group_items, with_item_ids
from sync.planning.guards import Populations, books_of, evaluate
from sync.planning.ordering import order_items
from sync.world import CHANGES, ITEMS, OWNERSHIP_EVENTS, Plan, World


def build_plan(
    desired: Frame, world: World, policies: Policies, as_of: str, engine: Engine, *, told: Told | None = None
) -> Plan:
    """What would change and why, from what the rules want (DESIRED) and what is there. Read-only.

    With `told`, rules and evidence are asked for where a record differs; `desired` then needs no more than `compare`.
    The same inputs in any order of rows give the same plan, byte for byte.
    """
    compared = compare(desired, world, policies.conflicts, as_of, engine, told=told)
    waiting = await_echo(compared.differences, world, policies.conflicts, engine)
    differences, waits = untangled(waiting, world.records, engine)
    grouped = engine.materialize(group_items(differences, world.lanes, policies.conflicts, engine))
    items = engine.materialize(order_items(grouped, world.records, policies.conflicts, engine, waits=waits))
    full = engine.materialize(with_item_ids(differences, items))
    changes = conform(full, CHANGES)
    guards = evaluate(
        writable(items),
        changes,
        populations=Populations(accounts=compared.records, books=books_of(world.records, engine)),
        policies=policies,
        contacted=world.accepted_guards,
        around=circumstances(world, policies.guards, policies.territories.named_accounts, engine),
        engine=engine,
    )
    return Plan(
        items=items,
        changes=changes,
        events=engine.materialize(_ownership_events(full, items)),
        guards=guards,
        counts=_counts(compared, items, changes, engine),
        digest=plan_digest(items, changes, engine),
    )


def writable(items: Frame) -> Frame:
    """The items that may still end in a write."""
    return items.filter(one_of(nw.col("action"), WRITABLE))


def plan_digest(items: Frame, changes: Frame, engine: Engine) -> str:
    """sha256 over the canonical text of all items and changes in order; the order of the rows given does not matter."""
    return digest_of(_canonical(items, changes, engine))


def _canonical(items: Frame, changes: Frame, engine: Engine) -> Iterator[str | pa.Array]:
    for frame, schema, order in (
        (items, ITEMS, ["sequence"]),
        (changes, CHANGES, ["connection", "record_id", "field"]),
    ):
        yield ",".join(schema)
        for batch in engine.in_order(frame.select(*schema), order, canonical_lines):
            yield batch.column("line")


def _ownership_events(full: Frame, items: Frame) -> Frame:
    """One row per owner change that may be written, with the move between systems behind it."""
    owners = full.filter(nw.col("field") == "owner").join(writable(items).select("item_id"), on="item_id", how="semi")
    old, new = nw.col("old_system"), nw.col("system")
    kind = cases(
        [
            (old.is_null() & ~new.is_null(), "joined_system"),
            (~old.is_null() & new.is_null(), "left_system"),
            (old != new, "moved_system"),
        ],
        "owner_change",
    )
    told = owners.with_columns(
        kind=kind,
        old_system=old,
        new_system=new,
        from_user=nw.col("crm"),
        to_user=nw.col("desired"),
    )
    return conform(told, OWNERSHIP_EVENTS).sort("connection", "record_id")


def _counts(compared: Compared, items: Frame, changes: Frame, engine: Engine) -> Mapping[str, int]:
    """Records and fields looked at; items by state and by action; moves of the agreed value by state."""
    records = sum(compared.records.values())
    counts = {"records": records, "fields_compared": records * compared.fields}
    counts |= {f"records:{connection}": number for connection, number in compared.records.items()}
    tallied = list(engine.rows(items.group_by("state", "action").agg(nw.len().cast(nw.Int64()).alias("n"))))
    counts["items"] = sum(row["n"] for row in tallied)
    agreed = changes.filter(nw.col("action") == "agree").group_by("state").agg(nw.len().cast(nw.Int64()).alias("n"))
    return counts | _tally(tallied, "state") | _tally(tallied, "action") | _tally(engine.rows(agreed), "state", "agree")


def _tally(rows: Iterable[Mapping[str, Any]], column: str, prefix: str | None = None) -> dict[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        name = f"{prefix or column}:{row[column]}"
        found[name] = found.get(name, 0) + row["n"]
    return dict(sorted(found.items()))
