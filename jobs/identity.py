"""Identity as people work with it: the clerical queue, the evidence of a link. Reads the state only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import narwhals as nw

from jobs.charts import Waterfall
from jobs.wiring import Wired
from jobs.world import load_world
from mappings.identity_policy import MatchModel
from sync.identity.contest import TWO_RECORDS, OpenPair
from sync.identity.judge import Identity, link
from sync.identity.model import START, chance
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


def judged(wired: Wired) -> tuple[World, Identity]:
    """The world as it is now, and who is who in it, with everything persons have decided."""
    world = load_world(wired, wired.as_of()).world
    return world, link(world, wired.mappings.policies.identity, wired.mappings.places, wired.engine)


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
    name: str
    account_id: str
    how: str
    evidence: Mapping[str, Any]
    decisions: tuple[Mapping[str, Any], ...]

    @property
    def parts(self) -> Mapping[str, int]:
        """What each theme added to the weight, in thousandths of a logit; empty where a key or a person decided."""
        parts: Mapping[str, int] = self.evidence.get("parts", {})
        return parts


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStory:
    """How the members of some accounts were linked, and what about them is open."""

    links: tuple[Explained, ...]
    open_pairs: tuple[OpenPair, ...] = ()


def explain(wired: Wired, name: str) -> LinkStory:
    """How every member of a record's, firm's or account's account is linked now. Raises UnknownParty."""
    world, found = judged(wired)
    rows = list(wired.engine.rows(found.links.filter((nw.col("source_id") == name) | (nw.col("account_id") == name))))
    if not rows:
        raise UnknownParty(f"{name}: no live record, firm or account has this id; `platbook explain` finds names too")
    accounts = sorted({row["account_id"] for row in rows})
    members = list(wired.engine.rows(found.links.filter(nw.col("account_id").is_in(accounts))))
    parties = {(row["source"], row["source_id"]) for row in members}
    return LinkStory(
        links=explained(wired, members, _names(wired, world, sorted(one for _, one in parties))),
        open_pairs=tuple(one for one in found.open_pairs if one.party in parties or one.other in parties),
    )


def explained(wired: Wired, rows: Sequence[Mapping[str, Any]], names: Mapping[Party, str]) -> tuple[Explained, ...]:
    """LINKS rows as they are told, by account, source and id."""
    ordered = sorted(rows, key=lambda row: (row["account_id"], row["source"], row["source_id"]))
    return tuple(_explained(wired, row, names.get((row["source"], row["source_id"]), "")) for row in ordered)


def _explained(wired: Wired, row: Mapping[str, Any], name: str) -> Explained:
    kept = wired.crosswalk.evidence(row["source"], row["source_id"]) if row["how"] == "crosswalk" else None
    text = kept or row["evidence"]
    return Explained(
        source=row["source"],
        source_id=row["source_id"],
        name=name,
        account_id=row["account_id"],
        how=row["how"],
        evidence=json.loads(text) if text else {},
        decisions=wired.link_decisions.history((row["source"], row["source_id"])),
    )


def _names(wired: Wired, world: World, ids: Sequence[str]) -> dict[Party, str]:
    """What records and firms of these ids are called."""
    named = [
        world.records.select(nw.col("connection").alias("source"), nw.col("record_id").alias("source_id"), "name"),
        world.firms.select(nw.col("feed").alias("source"), nw.col("firm_id").alias("source_id"), "name"),
    ]
    rows = [row for frame in named for row in wired.engine.rows(frame.filter(nw.col("source_id").is_in(ids)))]
    return {(row["source"], row["source_id"]): row["name"] or "" for row in rows}


def steps(parts: Mapping[str, int]) -> list[tuple[str, int, int]]:
    """A weight step by step, in thousandths of a logit: theme, sum before it, sum after it; what adds most first."""
    order = sorted(parts, key=lambda theme: (theme != START, -parts[theme], theme))
    made, total = [], 0
    for theme in order:
        made.append((theme, total, total + parts[theme]))
        total += parts[theme]
    return made


def waterfall(parts: Mapping[str, int], *, width: int = 30) -> list[str]:
    """Lines of a waterfall: each theme's part of the weight as a bar from the sum so far, in logits."""
    walked = steps(parts)
    if not walked:
        return []
    low = min(0, *(min(start, end) for _, start, end in walked))
    high = max(0, *(max(start, end) for _, start, end in walked))
    scale = (width - 1) / max(high - low, 1)
    lines = []
    for theme, start, end in walked:
        left, right = round((min(start, end) - low) * scale), round((max(start, end) - low) * scale)
        bar = " " * left + ("+" if end >= start else "-") * max(right - left, 1)
        lines.append(f"{theme:<20} {(end - start) / 1000:+7.2f}  {bar}")
    return [*lines, f"{'weight':<20} {walked[-1][2] / 1000:+7.2f}"]


def pictures(story: LinkStory, model: MatchModel | None) -> list[Waterfall]:
    """A picture of each weight of a story, the links first, then what is open."""
    marks = {"shown from": model.review / 1000, "linked from": model.auto / 1000} if model else {}
    of_records = {"linked from": model.duplicate / 1000} if model else {}
    made = [
        _picture(
            f"{one.name}: {one.source} {one.source_id} with {one.evidence.get('value', '')}",
            one.parts,
            f"linked; model {one.evidence.get('model', '')}",
            of_records if one.evidence.get("compared") == TWO_RECORDS else marks,
        )
        for one in story.links
        if one.parts
    ]
    return made + [
        _picture(
            f"{one.name} / {one.other_name}: {' '.join(one.party)} with {' '.join(one.other)}",
            one.parts,
            f"open: {one.reason}",
            marks,
        )
        for one in story.open_pairs
    ]


def _picture(title: str, parts: Mapping[str, int], said: str, marks: Mapping[str, float]) -> Waterfall:
    walked = steps(parts)
    chance_ = chance(walked[-1][2])
    return Waterfall(
        title=title,
        subtitle=f"{chance_:.2%} likely to be one organisation; {said}",
        steps=[(theme, start / 1000, end / 1000) for theme, start, end in walked],
        total="weight",
        marks=marks,
    )
