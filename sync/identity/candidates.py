"""Candidates: which parties are worth comparing, by blocks of bounded size.

A block is a value that parties share: ZIP code, phone, city, street number within three digits of the ZIP code, a word
of the name within the state, web domain, CCN, NPI, or a cell of a tenth of a degree, where a party on the left also
looks into the eight cells around its own. A block in which too many pairs would meet is dropped whole: taking its
first rows would make the result depend on their order.
"""

from __future__ import annotations

from functools import partial

import narwhals as nw
import pyarrow as pa

from sync.engine import Engine, Frame
from sync.identity.traits import Places

BLOCKED = (
    *("source", "source_id", "name_key", "former_key", "street_key", "city_key", "state", "zip5", "phone", "domain"),
    *("ccn", "npi"),
)
"""Columns blocks are made of."""

_BLOCKS = pa.schema([(name, pa.string()) for name in ("source", "source_id", "blocks")])
_CELL = 1000  # ten-thousandths of a degree
_SEPARATOR = "\n"
_PLAIN_WORDS = frozenset(
    [
        "hospital",
        "hospitals",
        "medical",
        "center",
        "health",
        "healthcare",
        "care",
        "system",
        "systems",
        "services",
        "regional",
        "community",
        "memorial",
        "general",
        "and",
        "of",
        "at",
        "for",
        "in",
        "a",
        "the",
        "inc",
        "district",
        "county",
        "home",
        "hospice",
        "nursing",
        "rehabilitation",
        "dialysis",
    ]
)


def candidates(left: Frame, right: Frame, places: Places, largest: int, engine: Engine) -> Frame:
    """Pairs `source`, `source_id`, `source__other`, `source_id__other` that share a block, each once.

    `left` and `right` have the columns BLOCKED; `largest` is the number of pairs above which a block is dropped.
    """
    theirs = engine.materialize(_exploded(right, partial(make_blocks, places=places, around=False), engine))
    mine = _exploded(left, partial(make_blocks, places=places, around=True), engine)
    mine = engine.materialize(mine.join(theirs.select("block").unique(), on="block", how="semi"))
    sizes = (
        mine.group_by("block")
        .agg(nw.len().alias("lefts"))
        .join(theirs.group_by("block").agg(nw.len().alias("rights")), on="block", how="inner")
    )
    small = sizes.filter(nw.col("lefts") * nw.col("rights") <= largest).select("block")
    others = theirs.rename({"source": "source__other", "source_id": "source_id__other"})
    pairs = mine.join(small, on="block", how="inner").join(others, on="block", how="inner")
    return pairs.select("source", "source_id", "source__other", "source_id__other").unique()


def _exploded(parties: Frame, function: partial[pa.RecordBatch], engine: Engine) -> Frame:
    made = engine.map_batches(parties.select(*BLOCKED), function, _BLOCKS)
    split = made.with_columns(nw.col("blocks").str.split(_SEPARATOR).alias("block")).drop("blocks")
    return split.explode("block").filter(nw.col("block") != "")


def make_blocks(batch: pa.RecordBatch, *, places: Places, around: bool) -> pa.RecordBatch:
    """The blocks of each party, joined by line breaks; `around` adds the cells around its own."""
    columns = {name: batch.column(name).to_pylist() for name in BLOCKED}
    rows = zip(*(columns[name] for name in BLOCKED[2:]), strict=True)
    blocks = [_SEPARATOR.join(sorted(_blocks(row, places, around))) for row in rows]
    arrays = [pa.array(columns["source"], pa.string()), pa.array(columns["source_id"], pa.string())]
    return pa.RecordBatch.from_arrays([*arrays, pa.array(blocks, pa.string())], schema=_BLOCKS)


def _blocks(row: tuple[str | None, ...], places: Places, around: bool) -> set[str]:
    name, former, street, city, state, code, phone, domain, ccn, npi = row
    held = (("zip", code), ("phone", phone), ("web", domain), ("ccn", ccn), ("npi", npi))
    made = {f"{kind}:{value}" for kind, value in held if value}
    if city and state:
        made.add(f"city:{state}:{city}")
    number = (street or "").split(" ", 1)[0]
    if number.isdigit() and code:
        made.add(f"door:{number}:{code[:3]}")
    if state:
        words = set(f"{name or ''} {former or ''}".split()) - _PLAIN_WORDS
        made |= {f"word:{state}:{word}" for word in words if len(word) > 2}
    return made | _cells(code, places, around)


def _cells(code: str | None, places: Places, around: bool) -> set[str]:
    point = places.get(code or "")
    if point is None:
        return set()
    row, column = point[0] // _CELL, point[1] // _CELL
    reach = (-1, 0, 1) if around else (0,)
    return {f"cell:{row + down}:{column + across}" for down in reach for across in reach}
