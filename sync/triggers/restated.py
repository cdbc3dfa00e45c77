"""What changed between two deliveries besides ownership: service lines, payer class, care organisation, health record.

A blank cell is unknown, so a value that appears or disappears is no change.
"""

from __future__ import annotations

from dataclasses import dataclass

import narwhals as nw

from mappings.policy import Policies
from sync.engine import Engine, Frame
from sync.frames import cases, conform, null, stack, text
from sync.triggers.events import RAW
from sync.world import INT, TEXT, World

LINES = ("oncology", "cardiology", "orthopedics", "primary_care", "behavioral_health")
_TEXTS = {"ehr_vendor": ("TECH_CHANGE", "ehr_vendor"), "aco": ("PAYER_CONTRACT", "aco")}
_KEY = ["feed", "firm_id"]
_NUMBERS = (
    "net_patient_revenue_cents",
    "medicare_days_bp",
    "medicaid_days_bp",
    "medicare_advantage_days_bp",
    *(f"{line}_share_bp" for line in LINES),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Where a restated value crosses into another class, by the policies of triggers, segments and tiers."""

    line_delta_bp: int  # a change of revenue by this share or more
    strong_share_bp: int  # a line is strong from this share of revenue on
    gov_heavy_bp: int  # strictly more government days than this
    is_advantage_medicare: bool = True  # Medicare Advantage counts as Medicare


def marks(policies: Policies) -> Marks:
    """The marks of the policies."""
    return Marks(
        line_delta_bp=policies.triggers.service_line_delta_bp,
        strong_share_bp=policies.segments.strength.strong_share_bp,
        gov_heavy_bp=policies.segments.payers.gov_heavy_above_bp,
        is_advantage_medicare=policies.tiers.assumptions.get("ma_counts_as", "medicare") == "medicare",
    )


def restated_changes(world: World, links: Frame, at: Marks, engine: Engine) -> Frame:
    """RAW events between the newest delivery of each firm feed and the last word before it."""
    columns = [*_TEXTS, *_NUMBERS]
    before = world.previous_firms.select(*_KEY, *[nw.col(name).alias(f"was_{name}") for name in columns])
    ref = text(nw.col("feed"), ":", nw.col("file"), ":row ", nw.col("row").cast(TEXT))
    now = world.firms.select(*_KEY, *columns, "as_of", ref.alias("source_ref"))
    both = now.join(before, on=_KEY, how="inner")
    moved = nw.any_horizontal(*(nw.col(name) != nw.col(f"was_{name}") for name in columns), ignore_nulls=True)
    linked = links.select(nw.col("source").alias("feed"), nw.col("source_id").alias("firm_id"), "account_id")
    changed = engine.materialize(both.filter(moved).join(linked, on=_KEY, how="inner"))
    if not engine.count(changed.head(1)):
        return engine.table([], RAW)
    parts = [_text_change(changed, name, *words) for name, words in _TEXTS.items()]
    parts.append(_payer_class(changed, at))
    parts += [_line_change(changed, line, at) for line in LINES]
    return stack(parts)


def _text_change(changed: Frame, name: str, kind: str, detail: str) -> Frame:
    rows = changed.filter(nw.col(name) != nw.col(f"was_{name}"))
    return _event(rows, kind, nw.lit(detail), nw.col(f"was_{name}"), nw.col(name))


def _payer_class(changed: Frame, at: Marks) -> Frame:
    """Government-heavy or not, by days: the basis that the feed has."""
    was, now = (_government(prefix, at) for prefix in ("was_", ""))
    flipped = (now > at.gov_heavy_bp) != (was > at.gov_heavy_bp)
    old, new = _gov(was, at), _gov(now, at)
    return _event(changed.filter(flipped), "PAYER_CONTRACT", nw.lit("payer_class"), old, new)


def _government(prefix: str, at: Marks) -> nw.Expr:
    share = nw.col(f"{prefix}medicare_days_bp") + nw.col(f"{prefix}medicaid_days_bp")
    return share + nw.coalesce(f"{prefix}medicare_advantage_days_bp", nw.lit(0)) if at.is_advantage_medicare else share


def _gov(share: nw.Expr, at: Marks) -> nw.Expr:
    return cases([(share > at.gov_heavy_bp, "government-heavy")], "not government-heavy")


def _line_change(changed: Frame, line: str, at: Marks) -> Frame:
    """A line that opened or closed, crossed the mark of strength, or whose revenue moved by the policy's share."""
    share, was = nw.col(f"{line}_share_bp"), nw.col(f"was_{line}_share_bp")
    revenue, before = _line_revenue(line, ""), _line_revenue(line, "was_")
    grown = nw.when(revenue >= before).then(revenue - before).otherwise(before - revenue)
    detail = cases(
        [
            ((was == 0) & (share > 0), f"{line}_opened"),
            ((was > 0) & (share == 0), f"{line}_closed"),
            ((was >= at.strong_share_bp) != (share >= at.strong_share_bp), f"{line}_strength"),
            ((before > 0) & (grown * 10_000 >= before * at.line_delta_bp), f"{line}_revenue"),
        ],
        null(TEXT),
    )
    rows = changed.with_columns(line_detail=detail).filter(~nw.col("line_detail").is_null())
    return _event(rows, "SERVICE_LINE_CHANGE", nw.col("line_detail"), _words(line, "was_"), _words(line, ""))


def _line_revenue(line: str, prefix: str) -> nw.Expr:
    """Dollars a year; whole dollars, so that the comparison stays within 64 bits. Losses count as unknown."""
    total = nw.col(f"{prefix}net_patient_revenue_cents")
    dollars = nw.when(total > 0).then(total // 100)
    return (dollars * nw.col(f"{prefix}{line}_share_bp")) // 10_000


def _words(line: str, prefix: str) -> nw.Expr:
    share, revenue = nw.col(f"{prefix}{line}_share_bp"), _line_revenue(line, prefix)
    amount = nw.when(~revenue.is_null()).then(text("USD ", revenue.cast(TEXT), ", "))
    return text(line.replace("_", " "), " ", amount, (share // 100).cast(INT).cast(TEXT), " % of revenue")


def _event(rows: Frame, kind: str, detail: nw.Expr, old: nw.Expr, new: nw.Expr) -> Frame:
    return conform(
        rows.with_columns(
            kind=nw.lit(kind),
            detail=detail,
            subject=nw.col("account_id"),
            effective_date=nw.col("as_of"),
            first_seen=nw.col("as_of"),
            old=old,
            new=new,
        ),
        RAW,
    )
