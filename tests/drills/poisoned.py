"""Poisoned days, each stopped before anything is written, among ordinary days that nothing stops.

On a poisoned day a person approves everything unread: only what guards deliveries, plans and organisations is left.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.salesforce.ids import make_id
from tests.drills.market import (
    HEADER,
    HOSPITALS,
    HUBSPOT_REPS,
    REPS,
    STATES,
    Market,
    Stop,
    account_id,
    hospital,
    write_mappings,
)

MOST_DAYS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """How a day went, seen from the CRMs."""

    stop: Stop
    writes: int  # write requests that the CRMs got


def ordinary_day(market: Market, seed: int) -> Day:
    """Persons work, the vendor corrects a few rows, an account is new; then Platbook's turn."""
    dice = random.Random(seed)
    market.calendar.tomorrow()
    for _ in range(dice.randrange(1, 4)):
        one = account_id(dice.randrange(market.systems), dice.randrange(HOSPITALS + 1))
        market.world.human_edit(
            "salesforce", "Account", one, {"Phone": f"555-{dice.randrange(9_999):04d}"}, by=REPS["KS"]
        )
    one, to = account_id(dice.randrange(market.systems), dice.randrange(1, 9)), dice.choice(sorted(REPS.values()))
    market.world.human_edit("salesforce", "Account", one, {"OwnerId": to}, by=REPS["TX"])
    company = str(5_000 + 10 * dice.randrange(market.systems) + dice.choice((1, 5)))
    market.world.human_edit("hubspot", "companies", company, {"account_tier": "T1"}, by=HUBSPOT_REPS["KS"])
    for row in dice.sample(market.rows, 6):
        if row["# of Staffed Beds"]:
            row["# of Staffed Beds"] = str(int(row["# of Staffed Beds"]) + dice.randrange(-5, 6))
    if seed % 3 == 0:
        _new_hospital(market, seed)
    return _worked(market, market.deliver() if seed % 2 else None)


def _new_hospital(market: Market, seed: int) -> None:
    system, number = seed % market.systems, HOSPITALS + 1 + seed // market.systems
    row = hospital(system, number, 90)
    if row not in market.rows:
        market.rows.append(row)
        place = {"BillingCity": row["City"], "BillingState": row["State"], "BillingPostalCode": row["Zip Code"]}
        about = {"Id": account_id(system, number), "Name": row["Hospital Name"], "OwnerId": REPS[row["State"]]}
        market.world.load("salesforce", "Account", [{**about, **place, "Definitive_ID__c": row["Definitive ID"]}])


def poisoned_day(market: Market, poison: str, seed: int) -> Day:
    """The same, but something upstream has gone wrong, and stays so until somebody is told: a tier moves slowly."""
    dice, writes = random.Random(seed), 0
    for _ in range(MOST_DAYS):
        market.calendar.tomorrow()
        day = _worked(market, POISONS[poison][0](market, dice))
        writes += day.writes
        if day.stop.at:
            break
    return Day(stop=day.stop, writes=writes)


def _worked(market: Market, path: Path | None) -> Day:
    before = len(market.world.requests)
    stop = market.work(path)
    return Day(stop=stop, writes=sum(one.is_write for one in market.world.requests[before:]))


def _empty(market: Market, dice: random.Random) -> Path:
    return market.deliver(rows=[])


def _half(market: Market, dice: random.Random) -> Path:
    """A download that ended early, or a filter that was left on."""
    rows = market.rows
    kept = rows[: len(rows) // 2] if dice.random() < 0.5 else dice.sample(rows, len(rows) // 2)
    return market.deliver(rows=kept)


def _shifted(market: Market, dice: random.Random) -> Path:
    """Every cell from some column on stands under the header of its neighbour."""
    first = dice.randrange(1, len(HEADER) - 1)
    names = HEADER[first:]
    moved = dict(zip(names, (*names[-1:], *names[:-1]), strict=True))
    rows = [{name: row[moved.get(name, name)] for name in HEADER} for row in market.rows]
    return market.deliver(rows=rows)


def _one_rep(market: Market, dice: random.Random) -> Path:
    write_mappings(market.folder / "mappings", one_rep=dice.choice(STATES))
    return market.deliver()


def _no_tiers(market: Market, dice: random.Random) -> Path:
    """Rules that no organisation meets any more; the vendor's figures go on changing meanwhile."""
    write_mappings(market.folder / "mappings", no_tiers=True)
    beds = [row for row in market.rows if row["# of Staffed Beds"]]
    market.rows = [
        {**row, "# of Staffed Beds": str(int(row["# of Staffed Beds"]) + 1)} if row in beds[:5] else row
        for row in market.rows
    ]
    return market.deliver()


def _wrong_org(market: Market, dice: random.Random) -> Path:
    """The credentials of a sandbox that was refreshed, or of somebody else's organisation."""
    ((old, record),) = market.world.table("salesforce", "Organization").items()
    del market.world.table("salesforce", "Organization")[old]
    market.world.load("salesforce", "Organization", [{**record, "Id": make_id("00D", dice.randrange(2, 9_999))}])
    market.world.set_fields(
        "salesforce", "Account", account_id(0, 1), {"OwnerId": REPS["UT"]}, by=REPS["UT"], source="CRM_UI"
    )
    return market.deliver()


POISONS: Mapping[str, tuple[Callable[[Market, random.Random], Path], str]] = {
    "empty delivery": (_empty, "delivery"),
    "half a delivery": (_half, "delivery"),
    "shifted column": (_shifted, "delivery"),
    "everyone to one representative": (_one_rep, "plan"),
    "every tier cleared": (_no_tiers, "plan"),
    "another organisation": (_wrong_org, "pull"),
}
"""Name -> how it comes about, and where it has to stop."""
