"""Identity at size: `python -m bench.identity_scale 100000` links that many invented firms and records, half by keys.

Names, streets and places are drawn with a fixed seed; every second record has no identifier and a worn name.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from bench.worlds import world_of
from jobs.engines import PolarsEngine
from mappings.load import load
from sync import world as shapes
from sync.identity.judge import link

_FIRST = "Mercy Saint Mary Valley Lake Union Grace Summit River Cedar Oak Pine Holy Good Sacred Northern Prairie Desert"
_SECOND = "Springs Haven Creek Ridge Grove Park Hill Cross Shepherd Heart Samaritan Trinity Joseph Luke Francis Anthony"
_KIND = "Hospital|Medical Center|Regional Hospital|Memorial Hospital|Community Hospital|Health Center"
_ROADS = "Main St|Oak Avenue|Park Road|Church Street|Hospital Drive|Medical Plaza|Highland Avenue|Lincoln Way"
_BLANK = {
    "previous_firms": shapes.FIRMS,
    "facts": shapes.FACTS,
    "users": shapes.USERS,
    "opportunities": shapes.OPPORTUNITIES,
    "team_members": shapes.TEAM_MEMBERS,
    "field_changes": shapes.FIELD_CHANGES,
    "crosswalk": shapes.CROSSWALK,
    "agreed": shapes.AGREED,
    "overrides": shapes.OVERRIDES,
    "holds": shapes.HOLDS,
}
_DTYPES = {"String": pl.String, "Int64": pl.Int64, "Boolean": pl.Boolean}


def tables(size: int, places: Mapping[str, tuple[int, int]]) -> dict[str, pl.DataFrame]:
    """Firms and records, one of each per organisation."""
    random = np.random.default_rng(11)
    zips = np.array(sorted(places))
    code = zips[random.integers(0, len(zips), size)]
    first, second, last = (np.array(words) for words in (_FIRST.split(), _SECOND.split(), _KIND.split("|")))
    pick = [random.integers(0, len(words), size) for words in (first, second, last)]
    serial = np.array([f"{n:05x}".translate(str.maketrans("0123456789", "ghijklmnop")) for n in range(size)])
    name = np.char.add(np.char.add(np.char.add(first[pick[0]], " "), np.char.add(second[pick[1]], " ")), serial)
    roads = np.array(_ROADS.split("|"))
    street = np.char.add(
        np.char.add(random.integers(1, 9999, size).astype(str), " "), roads[random.integers(0, 8, size)]
    )
    phone = random.integers(2_000_000_000, 9_999_999_999, size).astype(str)
    place = {"city": np.char.add("Town ", code), "state": _states(code), "zip5": code}
    has_id, has_phone = random.random(size) < 0.5, random.random(size) < 0.6
    ids = np.arange(100_000, 100_000 + size).astype(str)
    shown = np.char.add(np.char.add(name, " "), last[pick[2]])
    firms = {
        "feed": ["definitive"] * size,
        "firm_id": ids,
        "name": shown,
        "firm_type": ["Hospital"] * size,
        "street": street,
        "phone": [one if there else None for one, there in zip(phone, has_phone, strict=True)],
        **place,
    }
    records = {
        "connection": ["salesforce"] * size,
        "record_id": np.char.add("001", ids),
        "name": np.where(has_id, shown, np.char.add(name, " Hosp")),
        "street": np.char.upper(street),
        "phone": phone,
        "definitive_id": [one if there else None for one, there in zip(ids, has_id, strict=True)],
        "is_deleted": [False] * size,
        **place,
    }
    return {
        **{table: _frame({}, schema) for table, schema in _BLANK.items()},
        "firms": _frame(firms, shapes.FIRMS),
        "records": _frame(records, shapes.RECORDS),
    }


def _states(codes: np.ndarray) -> np.ndarray:
    known = np.array(["TX", "CA", "FL", "NY", "OH", "KS", "IA", "GA", "WA", "ME"])
    return np.asarray(known[[int(code[0]) for code in codes]])


def _frame(columns: Mapping[str, Any], schema: Mapping[str, Any]) -> pl.DataFrame:
    dtypes = {name: _DTYPES[str(dtype)] for name, dtype in schema.items()}
    size = len(next(iter(columns.values()), ()))
    made = {name: [None if v is None else v for v in columns.get(name, [None] * size)] for name in dtypes}
    return pl.DataFrame(made, schema=dtypes, strict=False)


def main(sizes: list[int]) -> None:
    """Time and memory for each size."""
    mappings, engine = load(), PolarsEngine()
    for size in sizes:
        made = tables(size, mappings.places)
        world = world_of(made)
        started, processor = time.perf_counter(), time.process_time()
        found = link(world, mappings.policies.identity, mappings.places, engine)
        seconds, busy = time.perf_counter() - started, time.process_time() - processor
        rows = engine.rows(found.links)
        accounts: dict[str, set[str]] = {}
        for row in rows:
            accounts.setdefault(row["account_id"], set()).add(row["source_id"].removeprefix("001"))
        right = sum(len(ids) == 1 for ids in accounts.values())
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{size:,} x {size:,}: {seconds:.1f} s, {busy:.1f} s of processors, {peak:.0f} MiB", end="; ")
        print(f"{right:,} of {len(accounts):,} accounts pure", flush=True)


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [10_000, 100_000])
