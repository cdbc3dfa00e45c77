"""Data quality of identity: bands, coverage, duplicates, identifiers that cannot all be right. Reads the state only."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import narwhals as nw

from jobs.identity import Waiting, judged, queue
from jobs.wiring import Wired
from sync.engine import Frame
from sync.identity.duplicates import Duplicate, find_duplicates
from sync.identity.judge import Identity
from sync.identity.parties import live, make_parties
from sync.world import World

Row = dict[str, Any]
CLAIMED, WRONG_KIND, BAD_NPI, DIFFER = "CLAIMED-TWICE", "WRONG-KIND", "NPI-CHECK-DIGIT", "NUMBERS-DIFFER"
BANDS = ("linked by a person", "linked as before", "linked by a key", "linked by the model", "waits", "alone")
_BAND_OF = {"person": BANDS[0], "crosswalk": BANDS[1], "merged": BANDS[1], "model": BANDS[3]}
_NUMBERS = ("definitive_id", "npi", "ccn")


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityReport:
    """What is linked, how, what is left, and what contradicts itself. Shares are percent."""

    by_source: Mapping[str, Mapping[str, int]]  # source -> how it was first linked -> rows
    accounts: int
    bands: tuple[Row, ...]  # per source: rows of each band and their share
    coverage: tuple[Row, ...]  # per source: rows with a counterpart in each other source
    conflicts: tuple[Row, ...]  # code, source, source_id, name, fact
    waiting: tuple[Waiting, ...]  # most valuable first
    duplicates: tuple[Duplicate, ...]
    model: Mapping[str, Any]  # version, thresholds, figures; empty without a model


def report(wired: Wired) -> IdentityReport:
    """The report; duplicates need the model."""
    world, found = judged(wired)
    first = {(row["source"], row["source_id"]): row["how"] for row in wired.crosswalk.table().to_pylist()}
    rows = wired.engine.rows(found.links.select("source", "source_id", "how", "account_id"))
    links = [_as_first_linked(row, first) for row in rows]
    by_source: dict[str, Counter[str]] = defaultdict(Counter)
    for row in links:
        by_source[row["source"]][row["how"]] += 1
    model, places = wired.mappings.policies.identity.model, wired.mappings.places
    return IdentityReport(
        by_source={source: dict(sorted(counts.items())) for source, counts in sorted(by_source.items())},
        accounts=len({row["account_id"] for row in links}),
        bands=tuple(_bands(links, found)),
        coverage=tuple(_coverage(links)),
        conflicts=tuple(_conflicts(wired, world, links)),
        waiting=queue(wired, world, found),
        duplicates=find_duplicates(world, found.links, places, model, wired.engine) if model else (),
        model=model.model_dump(include={"version", "fitted_on", "auto", "review", "duplicate", "figures"})
        if model
        else {},
    )


def _as_first_linked(row: Mapping[str, Any], first: Mapping[tuple[str, str], str]) -> Row:
    """The row with how it was linked by the run that did it, where the crosswalk still knows."""
    kept = first.get((row["source"], row["source_id"]), row["how"])
    return {**row, "how": kept if row["how"] == "crosswalk" else row["how"]}


def _bands(links: list[Row], found: Identity) -> Iterator[Row]:
    """Every row in one band: how it is linked, or that it waits, or that nothing is like it.

    The row that an account began with is in the surest band of those that came to it.
    """
    sizes = Counter(row["account_id"] for row in links)
    open_ = {party for pair in found.open_pairs for party in (pair.party, pair.other)}
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    came: dict[str, set[str]] = defaultdict(set)  # the bands of those that came to an account
    for row in links:
        if row["how"] != "own":
            came[row["account_id"]].add(_BAND_OF.get(row["how"], BANDS[2]))
    for row in links:
        alone = BANDS[4] if (row["source"], row["source_id"]) in open_ else BANDS[5]
        own = {_BAND_OF.get(row["how"], BANDS[2])} if row["how"] != "own" else came[row["account_id"]] or {BANDS[1]}
        counts[row["source"]][min(own, key=BANDS.index) if sizes[row["account_id"]] > 1 else alone] += 1
    for source, bands in sorted(counts.items()):
        for band in BANDS:
            if bands[band]:
                yield {"source": source, "band": band, "rows": bands[band], "pct": _pct(bands[band], bands.total())}


def _coverage(links: list[Row]) -> Iterator[Row]:
    """Per source and other source, how many rows have a counterpart there."""
    members: dict[str, set[str]] = defaultdict(set)
    for row in links:
        members[row["account_id"]].add(row["source"])
    totals = Counter(row["source"] for row in links)
    covered = Counter((row["source"], other) for row in links for other in members[row["account_id"]] - {row["source"]})
    for source in sorted(totals):
        for other in sorted(totals.keys() - {source}):
            held = covered[source, other]
            yield {"source": source, "in": other, "rows": held, "of": totals[source], "pct": _pct(held, totals[source])}


def _conflicts(wired: Wired, world: World, links: list[Row]) -> Iterator[Row]:
    records = live(world.records).select(
        nw.col("connection").alias("source"), nw.col("record_id").alias("source_id"), "name", *_NUMBERS
    )
    rows = list(wired.engine.rows(records))
    yield from _claimed(rows)
    yield from _wrong_kind(wired, world)
    yield from _bad_npis(wired, world, rows)
    yield from _differing(rows, links)


def _claimed(rows: list[Row]) -> Iterator[Row]:
    """Identifiers that several records of one CRM claim."""
    for name in _NUMBERS:
        holders: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in rows:
            if row[name]:
                holders[row["source"], row[name]].append(row)
        for (_, value), held in sorted(holders.items()):
            for row in sorted(held, key=lambda one: str(one["source_id"])) if len(held) > 1 else ():
                others = ", ".join(str(one["source_id"]) for one in held if one is not row)
                yield _conflict(CLAIMED, row, f"{_word(name)} {value} is also on {others}")


def _wrong_kind(wired: Wired, world: World) -> Iterator[Row]:
    """Certification numbers of another kind of provider than their row; they are never used."""
    parties = make_parties(world, wired.engine).filter(nw.col("wrong_class")).select("source", "source_id")
    shown = [
        world.firms.select(nw.col("feed").alias("source"), nw.col("firm_id").alias("source_id"), "name", "ccn"),
        world.records.select(
            nw.col("connection").alias("source"), nw.col("record_id").alias("source_id"), "name", "ccn"
        ),
    ]
    found = [row for frame in shown for row in wired.engine.rows(_among(frame, parties))]
    for row in sorted(found, key=lambda one: (one["source"], one["source_id"])):
        yield _conflict(WRONG_KIND, row, f"CCN {row['ccn']} is of another kind of provider, and is not used")


def _among(frame: Frame, parties: Frame) -> Frame:
    return frame.join(parties, on=["source", "source_id"], how="semi")


def _bad_npis(wired: Wired, world: World, rows: list[Row]) -> Iterator[Row]:
    """NPIs whose check digit does not hold; they are never used."""
    valid = make_parties(world, wired.engine).filter(~nw.col("npi").is_null()).select("source", "source_id")
    good = {(row["source"], row["source_id"]) for row in wired.engine.rows(valid)}
    for row in sorted(rows, key=lambda one: (one["source"], one["source_id"])):
        if row["npi"] and (row["source"], row["source_id"]) not in good:
            yield _conflict(BAD_NPI, row, f"NPI {row['npi']} fails its check digit, and is not used")


def _differing(rows: list[Row], links: list[Row]) -> Iterator[Row]:
    """Records of one account that show different numbers."""
    account_of = {(row["source"], row["source_id"]): row["account_id"] for row in links}
    for name in _NUMBERS:
        held: dict[str, dict[str, Row]] = defaultdict(dict)
        for row in sorted(rows, key=lambda one: (one["source"], one["source_id"])):
            account = account_of.get((row["source"], row["source_id"]))
            if account is not None and row[name]:
                held[account].setdefault(row[name], row)
        for values in (one for one in held.values() if len(one) > 1):
            (value, row), *others = values.items()
            told = ", ".join(f"{other} on {one['source']} {one['source_id']}" for other, one in others)
            yield _conflict(DIFFER, row, f"{_word(name)} {value} here, {told}, in one account")


def _conflict(code: str, row: Row, fact: str) -> Row:
    return {"code": code, "source": row["source"], "source_id": row["source_id"], "name": row["name"], "fact": fact}


def _word(name: str) -> str:
    return {"definitive_id": "vendor id", "npi": "NPI", "ccn": "CCN"}[name]


def _pct(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 0.0
