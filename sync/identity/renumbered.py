"""Systems that a vendor gave another id: the delivery before and the accounts of before are read under the new ids.

A system is renumbered where its name stands under another id now that was nobody's of that name, its old id is gone or
carries another name, and at least half of its members went along. An old id that another system has taken over would
otherwise hand that system the account, the CRM record and the members of the one before.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace

import narwhals as nw

from sync.engine import Engine, Frame
from sync.frames import stack
from sync.hierarchy.climb import Deliveries, called_otherwise, deliveries, systems
from sync.identity.sticky import RENUMBERED
from sync.world import CROSSWALK, FIRMS, INT, TEXT, World

Vendor = tuple[str, str]  # feed, vendor id

_FORMER = "~"  # ends an id of the delivery before that another system has now
_IDS = ("firm_id", "idn_id", "idn_parent_id")


def renumbered(world: World, engine: Engine) -> tuple[World, Deliveries]:
    """The world whose earlier delivery and crosswalk speak in the ids of the newest one, and its systems."""
    told = deliveries(world, engine)
    pairs = _followed(dict(_candidates(told, engine)), world, engine)
    if not pairs:
        return world, told
    before = engine.materialize(_translated(world.previous_firms, pairs, engine))
    today = replace(world, previous_firms=before, crosswalk=_handed(world.crosswalk, pairs, engine))
    return today, replace(told, before=systems(before, engine))


def _candidates(told: Deliveries, engine: Engine) -> Iterator[tuple[Vendor, Vendor]]:
    """(old id, new id) of systems whose name went from one id to another, one to one."""
    given_up: dict[tuple[str, str], list[Vendor]] = defaultdict(list)
    taken: dict[tuple[str, str], list[Vendor]] = defaultdict(list)
    for feed, id_, was, name in called_otherwise(told, engine):
        before, now = _key(was), _key(name)
        if before and before != now:
            given_up[feed, before].append((feed, id_))
        if now and before != now:
            taken[feed, now].append((feed, id_))
    for key in sorted(given_up.keys() & taken.keys()):
        if len(taken[key]) == 1 and len(given_up[key]) == 1:
            yield given_up[key][0], taken[key][0]


def _key(name: str | None) -> str:
    return " ".join(re.findall(r"\w+", name.casefold())) if name else ""


def _followed(pairs: Mapping[Vendor, Vendor], world: World, engine: Engine) -> dict[Vendor, Vendor]:
    """The pairs whose members went along, circles left out: who took whose id cannot be told there."""
    if not pairs:
        return {}
    rows = [{"feed": old[0], "old": old[1], "new": new[1]} for old, new in sorted(pairs.items())]
    asked = engine.table(rows, dict.fromkeys(("feed", "old", "new"), TEXT))
    members = _memberships(world.previous_firms, "old").join(asked, on=["feed", "old"], how="inner")
    still = members.join(world.firms.select("feed", "firm_id"), on=["feed", "firm_id"], how="semi")
    with_it = still.join(_memberships(world.firms, "new"), on=["feed", "firm_id", "new"], how="semi")
    counts = [
        {(row["feed"], row["old"]): row["n"] for row in engine.rows(part.group_by("feed", "old").agg(_count()))}
        for part in (still, with_it)
    ]
    sure = {old: new for old, new in pairs.items() if 2 * counts[1].get(old, 0) >= counts[0].get(old, 0) > 0}
    return {old: new for old, new in sure.items() if not _circles(old, sure)}


def _count() -> nw.Expr:
    return nw.len().cast(INT).alias("n")


def _circles(start: Vendor, pairs: Mapping[Vendor, Vendor]) -> bool:
    here = pairs[start]
    while here in pairs and here != start:
        here = pairs[here]
    return here == start


def _memberships(firms: Frame, name: str) -> Frame:
    """`feed`, `firm_id` and a system its row names: its IDN and its IDN's parent, itself left out."""
    parts = [firms.select("feed", "firm_id", nw.col(column).alias(name)) for column in _IDS[1:]]
    named = stack(parts).filter(~nw.col(name).is_null())
    return named.filter(nw.col(name) != nw.col("firm_id")).unique()


def _translated(firms: Frame, pairs: Mapping[Vendor, Vendor], engine: Engine) -> Frame:
    """The earlier delivery in today's ids."""
    for column in _IDS:
        names = _names(pairs, column, engine)
        joined = firms.join(names, on=["feed", column], how="left")
        firms = joined.with_columns(nw.coalesce("today", column).alias(column)).select(*FIRMS)
    return firms


def _names(pairs: Mapping[Vendor, Vendor], column: str, engine: Engine) -> Frame:
    """`feed`, an id of before, and what it is called today; one that another system has taken over is marked."""
    former = {new: (new[0], new[1] + _FORMER) for new in pairs.values() if new not in pairs}
    rows = [{"feed": old[0], column: old[1], "today": new[1]} for old, new in sorted({**former, **pairs}.items())]
    return engine.table(rows, dict.fromkeys(("feed", column, "today"), TEXT))


def _handed(crosswalk: Frame, pairs: Mapping[Vendor, Vendor], engine: Engine) -> Frame:
    """The crosswalk in which every new id has the account of the old one. Done once: a chain whose first new id has it
    already is left alone, since ids within it are old ones and new ones at the same time."""
    ids = {*pairs, *pairs.values()}
    named = engine.table(
        [{"source": f, "source_id": i} for f, i in sorted(ids)], dict.fromkeys(("source", "source_id"), TEXT)
    )
    known = {
        (row["source"], row["source_id"]): row
        for row in engine.rows(crosswalk.join(named, on=["source", "source_id"], how="semi"))
    }
    moves: dict[Vendor, Vendor] = {}
    for start in sorted(set(pairs) - set(pairs.values())):
        chain = list(_chain(start, pairs))
        old, new = (known.get(one, {}).get("account_id") for one in chain[0])
        if old is not None and old != new:
            moves.update(chain)
    if not moves:
        return crosswalk
    rows = [
        {**known[old], "source_id": new[1], "how": RENUMBERED} for old, new in sorted(moves.items()) if old in known
    ]
    former = {new for new in moves.values() if new not in moves}
    rows += [{**known[one], "source_id": one[1] + _FORMER} for one in sorted(former) if one in known]
    gone = [{"source": f, "source_id": i} for f, i in sorted(moves.values())]
    rest = crosswalk.join(
        engine.table(gone, dict.fromkeys(("source", "source_id"), TEXT)), on=["source", "source_id"], how="anti"
    )
    return engine.materialize(stack([rest.select(*CROSSWALK), engine.table(rows, CROSSWALK).select(*CROSSWALK)]))


def _chain(start: Vendor, pairs: Mapping[Vendor, Vendor]) -> Iterator[tuple[Vendor, Vendor]]:
    here = start
    while here in pairs:
        yield here, pairs[here]
        here = pairs[here]
