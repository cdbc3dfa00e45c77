"""Who stands above whom in one delivery of a vendor: systems by their ids, each climbed to its top.

A system's own row says first who is above it; where it says nothing, the rows of its members do, if they agree. A blank
says nothing: what the delivery before said of a system that is still named goes on.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import narwhals as nw

from sync.engine import Engine, Frame
from sync.frames import stack
from sync.world import INT, TEXT, World

Vendor = tuple[str, str]  # feed, vendor id
_SYSTEM = ("feed", "vendor_id", "root", "root_name")


@dataclass(slots=True)
class Systems:
    """What the rows of one delivery say of its systems."""

    own: dict[Vendor, str] = field(default_factory=dict)  # by its own row: who is above it, itself where nobody is
    told: dict[Vendor, set[str]] = field(default_factory=lambda: defaultdict(set))  # by the rows of its members
    names: dict[Vendor, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    @property
    def named(self) -> set[Vendor]:
        """Every system that a row names."""
        return {*self.own, *self.told, *self.names}

    def above(self, system: Vendor) -> str | None:
        """Vendor id above a system, its own where it is the top; None = not said, or said in two ways."""
        if system in self.own:
            return self.own[system]
        return next(iter(self.told[system])) if len(self.told.get(system, ())) == 1 else None

    def name(self, system: Vendor) -> str | None:
        """The name that most rows give it, the lower where as many give another."""
        counts = self.names.get(system)
        return min(counts, key=lambda name: (-counts[name], name)) if counts else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a vendor said of systems last, and what it says now."""

    past: Systems
    present: Systems


def told(world: World, engine: Engine) -> Told:
    """The systems of both deliveries of a world."""
    return Told(past=systems(world.previous_firms, engine), present=systems(world.firms, engine))


def systems(firms: Frame, engine: Engine) -> Systems:
    """The systems of a delivery."""
    found = Systems()
    named = firms.filter(~nw.col("idn_id").is_null() | ~nw.col("idn_parent_id").is_null())
    columns = ("feed", "idn_id", "idn_name", "idn_parent_id", "idn_parent_name")
    for row in engine.rows(named.group_by(*columns).agg(nw.len().cast(INT).alias("rows"))):
        for id_, name in (("idn_id", "idn_name"), ("idn_parent_id", "idn_parent_name")):
            if row[id_] and row[name]:
                found.names[row["feed"], row[id_]][row[name]] += row["rows"]
        if row["idn_id"] and row["idn_parent_id"]:
            found.told[row["feed"], row["idn_id"]].add(row["idn_parent_id"])
    for row in engine.rows(_own_rows(firms, named)):
        up = row["idn_id"] if row["idn_id"] not in (None, row["firm_id"]) else row["idn_parent_id"]
        if up:
            found.own[row["feed"], row["firm_id"]] = up
    return found


def _own_rows(firms: Frame, named: Frame) -> Frame:
    """The rows of organisations that other rows name as their system."""
    ids = [named.select("feed", nw.col(name).alias("firm_id")) for name in ("idn_id", "idn_parent_id")]
    systems_ = stack(ids).filter(~nw.col("firm_id").is_null()).unique()
    return firms.select("feed", "firm_id", "idn_id", "idn_parent_id").join(systems_, on=["feed", "firm_id"], how="semi")


def tops(now: Systems, before: Systems | None, engine: Engine) -> Frame:
    """`feed`, `vendor_id`, `root`, `root_name` of every system of a delivery."""
    rows = []
    for system in sorted(now.named):
        top = (system[0], _top(system, now, before))
        name = now.name(top) or (before.name(top) if before else None)
        rows.append(dict(zip(_SYSTEM, (*system, top[1], name), strict=True)))
    return engine.table(rows, dict.fromkeys(_SYSTEM, TEXT))


def _top(system: Vendor, now: Systems, before: Systems | None) -> str:
    """The last one of the chain above a system; of a circle its lowest id, so that all of it have one top."""
    feed, chain = system[0], [system[1]]
    while True:
        here = (feed, chain[-1])
        up = now.above(here) or _kept(here, now, before)
        if up is None or up == here[1]:
            return here[1]
        if up in chain:
            return min(chain[chain.index(up) :])
        chain.append(up)


def _kept(system: Vendor, now: Systems, before: Systems | None) -> str | None:
    """Who was above it in the delivery before, where this one is silent about it."""
    if before is None or now.told.get(system):
        return None
    return before.above(system)


def silent(now: Systems, before: Systems) -> Iterable[Mapping[str, str]]:
    """`feed`, `child_vendor`, `parent_vendor` that no row denies: named still, with nobody above it, as blanks are."""
    for system in sorted(now.named):
        up = before.above(system)
        if up is not None and up != system[1] and now.above(system) is None and not now.told.get(system):
            yield {"feed": system[0], "child_vendor": system[1], "parent_vendor": up}
