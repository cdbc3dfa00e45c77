"""Who stands above whom in one delivery of a vendor: systems by their ids, each climbed to its top.

A system's own row says first who is above it; where it says nothing, the rows of its members do, if they agree. A blank
says nothing: what the delivery before said of a system that is still named goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import narwhals as nw

from sync.engine import Engine, Frame
from sync.frames import certain, conform, null, stack
from sync.world import BOOL, TEXT, Schema, World

SYSTEMS: Schema = {
    "feed": TEXT,
    "vendor_id": TEXT,
    "above": TEXT,  # vendor id above it, its own where it is the top; null = not said, or said in two ways
    "is_told": BOOL,  # rows of members say who is above it, in one way or in several
    "name": TEXT,  # the name that most rows give it, the lower where as many give another
}
"""One row per system that a row of a delivery names; unique on (feed, vendor_id)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    """The systems of the newest delivery of every feed and of what was delivered before."""

    now: Frame  # SYSTEMS
    before: Frame  # SYSTEMS


_KEY = ["feed", "vendor_id"]
_DOUBLINGS = 6  # of the height that is climbed at once: chains of more than 64 systems are followed one by one


def deliveries(world: World, engine: Engine) -> Deliveries:
    """The systems of both."""
    return Deliveries(now=systems(world.firms, engine), before=systems(world.previous_firms, engine))


def systems(firms: Frame, engine: Engine) -> Frame:
    """SYSTEMS of a delivery."""
    ends = [
        firms.select("feed", nw.col(id_).alias("vendor_id"), nw.col(name).alias("name"), above.alias("told"))
        for id_, name, above in (
            ("idn_id", "idn_name", nw.col("idn_parent_id")),
            ("idn_parent_id", "idn_parent_name", null(TEXT)),
        )
    ]
    called = stack(ends).filter(~nw.col("vendor_id").is_null())
    name, told = nw.col("name"), nw.col("told")
    found = engine.materialize(
        called.group_by(*_KEY).agg(
            name.min(), name.max().alias("other"), told.min().alias("least"), told.max().alias("most")
        )
    )
    agreed = nw.when(nw.col("least") == nw.col("most")).then(nw.col("least"))
    described = (
        found.join(_own(firms, found), on=_KEY, how="left")
        .join(_mostly(called, found), on=_KEY, how="left")
        .with_columns(
            name=nw.coalesce("mostly", "name"),
            above=nw.coalesce(nw.col("own"), agreed),
            is_told=~nw.col("least").is_null(),
        )
    )
    return engine.materialize(conform(described, SYSTEMS))


def _mostly(called: Frame, found: Frame) -> Frame:
    """`mostly`: the name that most rows give a system that has several, the lower where as many give another."""
    several = found.filter(nw.col("name") != nw.col("other")).select(*_KEY)
    names = called.filter(~nw.col("name").is_null()).join(several, on=_KEY, how="semi")
    counted = names.group_by(*_KEY, "name").agg(nw.len().alias("rows"))
    most = counted.group_by(*_KEY).agg(nw.col("rows").max())
    best = counted.join(most, on=[*_KEY, "rows"], how="semi")
    return best.group_by(*_KEY).agg(nw.col("name").min().alias("mostly"))


def _own(firms: Frame, ids: Frame) -> Frame:
    """`own`: who is above a system by its own row, itself where nobody is."""
    rows = firms.select("feed", nw.col("firm_id").alias("vendor_id"), "idn_id", "idn_parent_id")
    nearest = nw.when(nw.col("idn_id") != nw.col("vendor_id")).then(nw.col("idn_id"))
    return rows.join(ids, on=_KEY, how="semi").select(*_KEY, nw.coalesce(nearest, nw.col("idn_parent_id")).alias("own"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tops:
    """Who stands at the top of every system of a delivery, and of those above it before."""

    roots: Frame  # feed, vendor_id, root; unique on (feed, vendor_id)
    names: Frame  # feed, root, root_name; unique on (feed, root), of systems that are no tops as well


def tops(now: Frame, before: Frame | None, engine: Engine) -> Tops:
    """The tops of a delivery, climbed by what it says and, where it says nothing, by what the one before said."""
    said = ("feed", "vendor_id", "above", "name")
    known = now.select(*said)
    if before is not None:
        past = before.select(*_KEY, nw.col("above").alias("was_above"), nw.col("name").alias("was_called"))
        still = now.join(past, on=_KEY, how="left").with_columns(
            above=nw.coalesce("above", nw.when(~nw.col("is_told")).then(nw.col("was_above"))),
            name=nw.coalesce("name", "was_called"),
        )
        gone = before.select(*said).join(now.select(*_KEY), on=_KEY, how="anti")
        known = engine.materialize(stack([still.select(*said), gone]))
    steps = known.select(*_KEY, nw.coalesce("above", "vendor_id").alias("root"), "name")
    names = steps.select("feed", nw.col("vendor_id").alias("root"), nw.col("name").alias("root_name"))
    return Tops(roots=_climbed(steps.select(*_KEY, "root"), engine), names=names)


def _climbed(steps: Frame, engine: Engine) -> Frame:
    """The last one of the chain above each; `root` leads one step up, a top to itself."""
    reached = steps
    for _ in range(_DOUBLINGS):
        reached = engine.materialize(_upwards(reached))
        moving = _moving(reached, steps)
        if not engine.count(moving.head(1)):
            return reached
    follow = {(row["feed"], row["vendor_id"]): row["root"] for row in engine.rows(steps)}
    rows = [{**row, "root": _top(row["feed"], row["vendor_id"], follow)} for row in engine.rows(moving)]
    slow = engine.table(rows, dict.fromkeys((*_KEY, "root"), TEXT))
    return engine.materialize(stack([reached.join(slow, on=_KEY, how="anti"), slow]))


def _moving(reached: Frame, steps: Frame) -> Frame:
    """Those that are not at a top yet: somebody stands above the one they have reached."""
    below = steps.filter(nw.col("vendor_id") != nw.col("root")).select("feed", nw.col("vendor_id").alias("root"))
    return reached.join(below, on=["feed", "root"], how="semi")


def _upwards(reached: Frame) -> Frame:
    """Each one led on from where it is by as much as was climbed from there; whoever nobody leads on stays."""
    ways = reached.select("feed", nw.col("vendor_id").alias("root"), nw.col("root").alias("next"))
    led = reached.join(ways, on=["feed", "root"], how="left")
    return led.select(*_KEY, nw.coalesce("next", "root").alias("root"))


def _top(feed: str, start: str, follow: Mapping[tuple[str, str], str]) -> str:
    """The last one of a chain; of a circle its lowest id, so that all of it have one top."""
    chain, places = [start], {start: 0}
    while (up := follow.get((feed, chain[-1]), chain[-1])) not in places:
        places[up] = len(chain)
        chain.append(up)
    return min(chain[places[up] :])


def silent(told: Deliveries) -> Frame:
    """`feed`, `child_vendor`, `parent_vendor` that no row denies: named still, with nobody above it, as blanks are."""
    past = told.before.select(*_KEY, nw.col("above").alias("parent_vendor"))
    quiet = told.now.filter(nw.col("above").is_null(), ~nw.col("is_told")).select(*_KEY)
    both = quiet.join(past, on=_KEY, how="inner").rename({"vendor_id": "child_vendor"})
    return both.filter(certain(nw.col("parent_vendor") != nw.col("child_vendor")))


def called_otherwise(told: Deliveries, engine: Engine) -> Iterator[tuple[str, str, str | None, str | None]]:
    """Feed, id, name before and name now of the systems whose names are not the same, letter by letter."""
    past, present = told.before, told.now
    keys = stack([past.select(*_KEY), present.select(*_KEY)]).unique()
    both = keys.join(past.select(*_KEY, nw.col("name").alias("was")), on=_KEY, how="left").join(
        present.select(*_KEY, "name"), on=_KEY, how="left"
    )
    changed = both.filter(
        ~certain(nw.col("was") == nw.col("name")), ~(nw.col("was").is_null() & nw.col("name").is_null())
    )
    for row in engine.rows(changed):
        yield row["feed"], row["vendor_id"], row["was"], row["name"]
