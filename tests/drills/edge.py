"""Persons edit while a pull goes through its pages: once they rest, one more pull knows every record as it is."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from jobs.pull import pull
from sandbox.server import Sandbox
from sandbox.world import World
from tests.drills.market import HUBSPOT_REPS, REPS, Market, fill, write_mappings

TABLES = {"salesforce": ("Account", "Name"), "hubspot": ("companies", "name")}
PULLS = 4


def edits_during_pulls(folder: Path, sandbox: Sandbox, seed: int, *, systems: int = 30) -> tuple[int, int]:
    """(edits made while pulls ran, records that the last snapshot has otherwise than the CRM)."""
    market, dice = Market(folder=folder, sandbox=sandbox, systems=systems), random.Random(seed)
    world = World(seed=seed, now=market.calendar.now)
    fill(market, world, dice)
    world.settings.salesforce_page_size = 20
    sandbox.use(world)
    folder.mkdir(parents=True)
    write_mappings(folder / "mappings")
    wired = market.wired()
    wired.database.migrate()
    wired.database.close()
    edits, is_busy = 0, True

    def edit(event: dict[str, Any]) -> None:
        nonlocal edits
        if not is_busy or event["system"] not in TABLES or dice.random() < 0.3:
            return
        system = event["system"]
        table, name = TABLES[system]
        one = dice.choice(sorted(world.table(system, table)))
        by = REPS["KS"] if system == "salesforce" else HUBSPOT_REPS["KS"]
        world.human_edit(system, table, one, {name: f"Hospital {dice.randrange(100_000)}"}, by=by)
        edits += 1

    world.on("after_read", edit)
    for _ in range(PULLS):
        _pull(market)
    is_busy = False
    return edits, _pull(market)


def _pull(market: Market) -> int:
    """Pull; how many records are otherwise in the snapshot than in the CRM now."""
    wired = market.wired()
    pull(wired)
    unlike = 0
    for system, (table, name) in TABLES.items():
        snapshot = wired.snapshots.current(system, "account")
        assert snapshot is not None
        known = {row["record_id"]: row["name"] for row in wired.snapshots.read(snapshot).to_pylist()}
        now = {one.get("Id") or one["hs_object_id"]: one.get(name) for one in market.world.rows(system, table)}
        unlike += sum(known.get(one) != value for one, value in now.items())
    wired.database.close()
    return unlike
