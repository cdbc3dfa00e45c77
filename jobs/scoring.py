"""One account's score in words: its parts, and what moved it since the plan before."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.export import findings_source
from jobs.wiring import Wired
from mappings.insight_policy import ScorePolicy
from sync.insight.standing import days_between
from sync.segmentation.scores import UNKNOWN_SEGMENT, Scored, card, explain_change

POLICY_TABLE = "score_policy"
_LOOKED_BACK = 20
"""Plans before this one that are asked for an earlier score."""


def policy_table(policy: ScorePolicy) -> pa.Table:
    """The policy a plan scored with, kept beside its findings: one row, one column."""
    return pa.table({"content": pa.array([policy.model_dump_json()], pa.string())})


def score_lines(wired: Wired, plan_id: str, row: Mapping[str, Any]) -> Iterator[str]:
    """The score of a row of PROFILES with its parts, then each reason why it moved. Nothing without a score."""
    if row.get("score_tenths") is None:
        return
    parts = json.loads(row["contributions"])
    told = ", ".join(f"{name} {part / 10:g}{'' if seen else ' (peers)'}" for name, (_, part, seen) in parts.items())
    known = f"{row['coverage_bp'] / 100:g} % known"
    yield f"score: {row['score_tenths'] / 10:g} of 100, band {row['band']}, {known}: {told}"
    yield from _moved(wired, plan_id, row)


def _moved(wired: Wired, plan_id: str, row: Mapping[str, Any]) -> Iterator[str]:
    plans = wired.plans.list(limit=1000)
    position = next((n for n, one in enumerate(plans) if one["id"] == plan_id), len(plans))
    for older in plans[position + 1 : position + 1 + _LOOKED_BACK]:
        before = _row(wired, older["id"], row["account_id"])
        if before is None or before["score_tenths"] is None:
            continue
        days = days_between(older["as_of"], plans[position]["as_of"]) or 0
        change = row["score_tenths"] - before["score_tenths"]
        old, new = _scored(wired, older["id"], before), _scored(wired, plan_id, row)
        if change and old and new:
            yield f"  {change / 10:+g} since plan {older['id']}:"
            for part in explain_change(old, new, days=max(days, 0)):
                why = (("data", part.data), ("time", part.decay), ("policy", part.policy))
                words = ", ".join(f"{word} {amount / 10:+g}" for word, amount in why if amount)
                if words:
                    yield f"    {part.feature}: {words}"
        return


def _row(wired: Wired, plan_id: str, account_id: str) -> dict[str, Any] | None:
    kept = wired.snapshots.current(findings_source(plan_id), "profiles")
    if kept is None:
        return None
    table = wired.snapshots.read(kept)
    rows: list[dict[str, Any]] = table.filter(pc.equal(table["account_id"], account_id)).to_pylist()
    return rows[0] if rows else None


def _scored(wired: Wired, plan_id: str, row: Mapping[str, Any]) -> Scored | None:
    """The scoring as it was: values, policy, and the peers' points that stood in for what was missing."""
    kept = wired.snapshots.current(findings_source(plan_id), POLICY_TABLE)
    if kept is None:
        return None
    policy = ScorePolicy.model_validate_json(wired.snapshots.read(kept)["content"][0].as_py())
    segment = row["org_type"] or UNKNOWN_SEGMENT
    parts = json.loads(row["contributions"])
    priors = {(segment, name): points for name, (points, _, known) in parts.items() if not known}
    return Scored(features=json.loads(row["features"]), segment=segment, card=card(policy, priors))
