"""Identity as people work with it: the report, the clerical queue, the evidence of a link. Reads the state only."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw

from jobs.wiring import Wired
from jobs.world import load_world
from sync.identity.contest import OpenPair
from sync.identity.duplicates import Duplicate, find_duplicates
from sync.identity.judge import Identity, link
from sync.identity.sticky import Party
from sync.world import World


class UnknownParty(LookupError):
    """No record or firm of that name is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One pair of the clerical queue."""

    id: str  # stays the same while the pair does
    pair: OpenPair
    pipeline_cents: int  # open opportunities of the record


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityReport:
    """What is linked, how, and what is left."""

    by_source: Mapping[str, Mapping[str, int]]  # source -> how -> rows
    accounts: int
    waiting: tuple[Waiting, ...]
    duplicates: tuple[Duplicate, ...]
    model: Mapping[str, Any]  # version, thresholds, figures; empty without a model


def judged(wired: Wired) -> tuple[World, Identity]:
    """The world as it is now, and who is who in it, with everything persons have decided."""
    world = load_world(wired, wired.as_of()).world
    return world, link(world, wired.mappings.policies.identity, wired.mappings.places, wired.engine)


def report(wired: Wired) -> IdentityReport:
    """The report; duplicates need the model."""
    world, found = judged(wired)
    by_source: dict[str, Counter[str]] = defaultdict(Counter)
    accounts = set()
    for row in wired.engine.rows(found.links.select("source", "how", "account_id")):
        by_source[row["source"]][row["how"]] += 1
        accounts.add(row["account_id"])
    model = wired.mappings.policies.identity.model
    places = wired.mappings.places
    return IdentityReport(
        by_source={source: dict(sorted(counts.items())) for source, counts in sorted(by_source.items())},
        accounts=len(accounts),
        waiting=queue(wired, world, found),
        duplicates=find_duplicates(world, found.links, places, model, wired.engine) if model else (),
        model=model.model_dump(include={"version", "fitted_on", "auto", "review", "duplicate", "figures"})
        if model
        else {},
    )


def queue(wired: Wired, world: World, found: Identity) -> tuple[Waiting, ...]:
    """The open pairs, most valuable first: by the record's open pipeline, then by probability."""
    worth = _pipelines(wired, world)
    waiting = [
        Waiting(id=pair_id(one.party, one.other), pair=one, pipeline_cents=worth.get(one.other, 0))
        for one in found.open_pairs
    ]
    return tuple(sorted(waiting, key=lambda one: (-one.pipeline_cents, -one.pair.score, one.id)))


def pair_id(party: Party, other: Party) -> str:
    """Short name of a pair, whichever comes first."""
    text = "|".join(part for one in sorted((party, other)) for part in one)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _pipelines(wired: Wired, world: World) -> dict[Party, int]:
    deals = world.opportunities.filter(~nw.col("is_closed").fill_null(value=False), ~nw.col("record_id").is_null())
    sums = deals.group_by("connection", "record_id").agg(nw.col("amount_cents").sum())
    return {(row["connection"], row["record_id"]): int(row["amount_cents"] or 0) for row in wired.engine.rows(sums)}


def named(waiting: Sequence[Waiting], names: Sequence[str]) -> list[Waiting]:
    """The pairs that ids or beginnings of ids name. Raises UnknownParty."""
    found = []
    for name in names:
        fitting = [one for one in waiting if one.id.startswith(name)]
        if len(fitting) != 1:
            what = "no open pair" if not fitting else f"{len(fitting)} open pairs"
            raise UnknownParty(f"{what} begins with {name}; `platbook identity review` lists them")
        found += fitting
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One link and what it rests on."""

    source: str
    source_id: str
    account_id: str
    how: str
    evidence: Mapping[str, Any]
    decisions: tuple[Mapping[str, Any], ...]


def explain(wired: Wired, name: str) -> tuple[Explained, ...]:
    """How every member of a record's, firm's or account's account was linked. Raises UnknownParty."""
    _, found = judged(wired)
    rows = list(wired.engine.rows(found.links.filter((nw.col("source_id") == name) | (nw.col("account_id") == name))))
    if not rows:
        raise UnknownParty(f"{name}: no live record, firm or account has this id; `platbook explain` finds names too")
    accounts = sorted({row["account_id"] for row in rows})
    members = wired.engine.rows(found.links.filter(nw.col("account_id").is_in(accounts)))
    return tuple(
        _explained(wired, row) for row in sorted(members, key=lambda r: (r["account_id"], r["source"], r["source_id"]))
    )


def _explained(wired: Wired, row: Mapping[str, Any]) -> Explained:
    kept = wired.crosswalk.evidence(row["source"], row["source_id"]) if row["how"] == "crosswalk" else None
    text = kept or row["evidence"]
    return Explained(
        source=row["source"],
        source_id=row["source_id"],
        account_id=row["account_id"],
        how=row["how"],
        evidence=json.loads(text) if text else {},
        decisions=wired.link_decisions.history((row["source"], row["source_id"])),
    )


def waterfall(parts: Mapping[str, int], *, width: int = 30) -> list[str]:
    """Lines of a waterfall: each theme's part of the score as a bar from the sum so far, in logits."""
    if not parts:
        return []
    order = ["to begin with", *sorted((theme for theme in parts if theme != "to begin with"), key=lambda t: -parts[t])]
    steps, total = [], 0
    for theme in order:
        if theme in parts:
            steps.append((theme, total, total + parts[theme]))
            total += parts[theme]
    low = min(0, *(min(start, end) for _, start, end in steps))
    high = max(0, *(max(start, end) for _, start, end in steps))
    scale = (width - 1) / max(high - low, 1)
    lines = []
    for theme, start, end in steps:
        left, right = round((min(start, end) - low) * scale), round((max(start, end) - low) * scale)
        bar = " " * left + ("+" if end >= start else "-") * max(right - left, 1)
        lines.append(f"{theme:<20} {(end - start) / 1000:+7.2f}  {bar}")
    return [*lines, f"{'score':<20} {total / 1000:+7.2f}"]
