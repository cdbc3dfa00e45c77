"""Systems and their tops, told as tables, are what a walk from row to row finds."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.engines import PolarsEngine
from sync.hierarchy import climb
from sync.world import FIRMS

Row = Mapping[str, Any]
Told = dict[str, dict[str, Any]]
_IDS = [str(number) for number in range(1, 7)]
_COLUMNS = ("idn_id", "idn_parent_id", "idn_name", "idn_parent_name")


@st.composite
def _deliveries(draw: st.DrawFn) -> list[Row]:
    named = st.sampled_from([None, *_IDS])
    firms = draw(st.lists(st.sampled_from([*_IDS, "11", "12", "13"]), unique=True, max_size=9))
    called = st.sampled_from([None, "Lakes", "Hills"])
    cells = st.tuples(named, named, called, called)
    return [{"firm_id": firm, **dict(zip(_COLUMNS, draw(cells), strict=True))} for firm in firms]


def _walked(rows: Sequence[Row]) -> Told:
    """Per named system who is above it, whether members say so, and its name."""
    own, told, names = dict[str, str](), defaultdict[str, set[str]](set), defaultdict[str, Counter[str]](Counter)
    for row in rows:
        for end in ("idn", "idn_parent"):
            if row[f"{end}_id"]:
                names[row[f"{end}_id"]].update([row[f"{end}_name"]] if row[f"{end}_name"] else [])
        if row["idn_id"] and row["idn_parent_id"]:
            told[row["idn_id"]].add(row["idn_parent_id"])
    for row in rows:
        up = row["idn_id"] if row["idn_id"] not in (None, row["firm_id"]) else row["idn_parent_id"]
        if row["firm_id"] in names and up:
            own[row["firm_id"]] = up
    return {
        id_: {
            "above": own.get(id_) or (min(told[id_]) if len(told[id_]) == 1 else None),
            "is_told": bool(told[id_]),
            "name": min(calls, key=lambda name: (-calls[name], name)) if calls else None,
        }
        for id_, calls in names.items()
    }


def _top(id_: str, now: Told, before: Told) -> str:
    chain = [id_]
    while True:
        here = now.get(chain[-1], {"above": None, "is_told": False})
        up = here["above"] or (None if here["is_told"] else before.get(chain[-1], {}).get("above"))
        if up is None or up == chain[-1]:
            return chain[-1]
        if up in chain:
            return min(chain[chain.index(up) :])
        chain.append(up)


@settings(max_examples=60, deadline=None)
@given(now=_deliveries(), before=_deliveries())
def test_tables_of_systems_say_what_a_walk_finds(now: list[Row], before: list[Row]) -> None:
    engine = PolarsEngine()
    firms = [engine.table([{"feed": "definitive", **row} for row in rows], FIRMS) for rows in (now, before)]
    present, past = (climb.systems(frame, engine) for frame in firms)
    walked, was = _walked(now), _walked(before)
    found = {row["vendor_id"]: row for row in engine.rows(present)}
    assert {id_: {key: found[id_][key] for key in said} for id_, said in walked.items()} == walked
    assert set(found) == set(walked)
    tops = climb.tops(present, past, engine)
    named = tops.roots.join(tops.names, on=["feed", "root"], how="left")
    roots = {row["vendor_id"]: (row["root"], row["root_name"]) for row in engine.rows(named)}
    for id_ in walked:
        top = _top(id_, walked, was)
        name = (walked.get(top) or {}).get("name") or (was.get(top) or {}).get("name")
        assert roots[id_] == (top, name), id_


def test_a_chain_of_a_hundred_systems_is_climbed_to_its_top_and_a_circle_to_its_lowest_id() -> None:
    engine = PolarsEngine()
    ids = [f"{number:03}" for number in range(100)]
    chain = [{"feed": "v", "firm_id": low, "idn_id": high} for low, high in itertools.pairwise(ids)]
    circle = [{"feed": "v", "firm_id": a, "idn_id": b} for a, b in (("7", "8"), ("8", "9"), ("9", "7"))]
    told = climb.systems(engine.table([*chain, *circle], FIRMS), engine)
    roots = {row["vendor_id"]: row["root"] for row in engine.rows(climb.tops(told, None, engine).roots)}
    assert {roots[id_] for id_ in ids[1:]} == {"099"}
    assert [roots[id_] for id_ in ("7", "8", "9")] == ["7", "7", "7"]
