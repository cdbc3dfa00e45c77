"""Data quality of the feeds: deliveries, coverage and drift, gaps, and where sources contradict each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from jobs.export import findings_source
from jobs.wiring import Wired
from mappings.schema import FeedLayout
from store.snapshots import Snapshot

CONFLICTS = ("CHOW-CONTRADICTS", "SOURCES-DISAGREE", "VALUE-EXPIRED")
"""Codes of a plan's problems that are about sources."""

DRIFT_POINTS = 5.0
"""A field that is filled in that many percent points less than in the last delivery has drifted."""

_NOT_CONTENT = ("feed", "as_of", "file", "row", "cleared", "former_name")
_SERVICE_LINES = pl.selectors.ends_with("_share_bp")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedReport:
    """Rows for people, one kind a table. Shares are percent."""

    deliveries: tuple[Row, ...]  # newest first, the refused and the held included
    coverage: tuple[Row, ...]  # per feed in use and field: filled now, filled last time, drift in percent points
    gaps: tuple[Row, ...]  # per firm feed and type: what is missing that segmentation needs
    conflicts: tuple[Row, ...]  # of the newest plan
    notes: tuple[str, ...]

    @property
    def drifted(self) -> list[Row]:
        """Fields that lost coverage since the last delivery, the worst first."""
        lost = [row for row in self.coverage if (row["drift_points"] or 0.0) <= -DRIFT_POINTS]
        return sorted(lost, key=lambda row: (row["drift_points"], row["feed"], row["field"]))


def feed_report(wired: Wired) -> FeedReport:
    """What is known of the feeds. Read-only."""
    layouts = wired.mappings.feeds
    known = [one for one in wired.snapshots.list() if one.source in layouts]
    in_use = [(layout, one) for layout in layouts.values() if (one := _current(wired, layout)) is not None]
    coverage: list[Row] = []
    gaps: list[Row] = []
    for layout, current in sorted(in_use, key=lambda pair: pair[0].feed):
        table = _read(wired, current)
        coverage += _coverage(wired, layout, current, table)
        gaps += _gaps(layout.feed, table) if layout.rows == "firm" else []
    conflicts, notes = _conflicts(wired)
    return FeedReport(
        deliveries=tuple(_delivery(one) for one in known),
        coverage=tuple(coverage),
        gaps=tuple(gaps),
        conflicts=tuple(conflicts),
        notes=tuple(notes),
    )


def _current(wired: Wired, layout: FeedLayout) -> Snapshot | None:
    return wired.snapshots.current(layout.feed, layout.rows)


def _read(wired: Wired, one: Snapshot) -> pl.DataFrame:
    return pl.DataFrame(pl.from_arrow(wired.snapshots.read(one)))


def _delivery(one: Snapshot) -> Row:
    verdict = one.verdict
    problems: Mapping[str, int] = verdict.get("problems", {})
    return {
        "id": one.id,
        "feed": one.source,
        "file": verdict.get("file", ""),
        "as_of": verdict.get("as_of", ""),
        "verdict": verdict.get("verdict", ""),
        "status": one.status.value,
        "rows": one.row_count,
        "set_aside": verdict.get("rows_set_aside", 0),
        "problems": ", ".join(f"{code} {count:,}" for code, count in sorted(problems.items())),
        "taken_at": one.taken_at,
        "judged_by": verdict.get("judged_by", ""),
        "first_problem": next(iter(verdict.get("first_problems", ())), ""),
    }


def _coverage(wired: Wired, layout: FeedLayout, current: Snapshot, table: pl.DataFrame) -> list[Row]:
    """Per field of the layout how many rows have it, now and in the delivery before."""
    previous = wired.snapshots.previous(layout.feed, layout.rows)
    before = _read(wired, previous) if previous is not None else None
    fields = [name for name in table.columns if name in layout.fields and name not in _NOT_CONTENT]
    rows: list[Row] = []
    for name in fields:
        filled = _filled(table, name)
        earlier = _filled(before, name) if before is not None else None
        drift = None if filled is None or earlier is None else round(filled - earlier, 1)
        rows.append(
            {
                "feed": layout.feed,
                "field": name,
                "filled_pct": filled,
                "filled_before_pct": earlier,
                "drift_points": drift,
                "as_of": current.verdict.get("as_of", ""),
                "before_as_of": previous.verdict.get("as_of", "") if previous is not None else "",
            }
        )
    return rows


def _filled(table: pl.DataFrame, name: str) -> float | None:
    if name not in table.columns or not table.height:
        return None
    return round(100 * (1 - table[name].null_count() / table.height), 1)


def _gaps(feed: str, table: pl.DataFrame) -> list[Row]:
    """Per type of firm how many lack a type, a service line, a system, a place, or an identifier."""
    lines = table.select(_SERVICE_LINES).columns
    flags = {
        "no_type": pl.col("hospital_type").is_null(),
        "no_service_line": pl.all_horizontal(pl.col(line).is_null() for line in lines),
        "no_affiliation": pl.col("idn_id").is_null() & pl.col("idn_name").is_null(),
        "no_identifier": pl.col("ccn").is_null() & pl.col("npi").is_null(),
        "no_zip": pl.col("zip5").is_null(),
        "no_domain": pl.col("domain").is_null(),
    }
    counted = (
        table.with_columns(pl.col("firm_type").fill_null("(none)"))
        .group_by("firm_type")
        .agg(pl.len().alias("firms"), *(flag.sum().alias(name) for name, flag in flags.items()))
        .sort("firms", "firm_type", descending=[True, False])
    )
    return [{"feed": feed, **row} for row in counted.to_dicts()]


def _conflicts(wired: Wired) -> tuple[list[Row], list[str]]:
    """What the newest plan found out about sources that differ."""
    stored = wired.plans.list(limit=1)
    if not stored:
        return [], ["no plan was made yet: where sources differ is found when one is made (`platbook plan`)"]
    plan_id = str(stored[0]["id"])
    kept = wired.snapshots.current(findings_source(plan_id), "problems")
    if kept is None:
        return [], [f"plan {plan_id} kept no problems; run `platbook plan` again"]
    rows = wired.snapshots.read(kept).to_pylist()
    columns = ("code", "severity", "subject", "fact", "remedy", "refs")
    return [{name: row[name] for name in columns} for row in rows if row["code"] in CONFLICTS], []
