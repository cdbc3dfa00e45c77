"""What changed between two deliveries besides ownership: service lines, payer class, care organisation, health record.

A blank cell is unknown, so a value that appears or disappears is no change.
"""

from __future__ import annotations

import narwhals as nw

from mappings.structure_policy import TriggerPolicy
from sync.engine import Engine, Frame
from sync.frames import cases, certain, conform, null, stack, text
from sync.triggers.events import RAW
from sync.world import INT, TEXT, World

LINES = ("oncology", "cardiology", "orthopedics", "primary_care", "behavioral_health")
STRONG_SHARE_BP = 1500
"""A line is strong from this share of revenue on. Source: seed figure of the segmentation policy."""

GOV_HEAVY_BP = 6000
"""Strictly more government days than this is government-heavy. Source: seed figure."""

_TEXTS = {"ehr_vendor": ("TECH_CHANGE", "ehr_vendor"), "aco": ("PAYER_CONTRACT", "aco")}
_KEY = ["feed", "firm_id"]
_NUMBERS = (
    "net_patient_revenue_cents",
    "medicare_days_bp",
    "medicaid_days_bp",
    *(f"{line}_share_bp" for line in LINES),
)


def restated_changes(world: World, links: Frame, policy: TriggerPolicy, engine: Engine) -> Frame:
    """RAW events between the two newest deliveries of each firm feed."""
    columns = [*_TEXTS, *_NUMBERS]
    before = world.previous_firms.select(*_KEY, *[nw.col(name).alias(f"was_{name}") for name in columns])
    ref = text(nw.col("feed"), ":", nw.col("file"), ":row ", nw.col("row").cast(TEXT))
    now = world.firms.select(*_KEY, *columns, "as_of", ref.alias("source_ref"))
    both = now.join(before, on=_KEY, how="inner")
    moved = certain(nw.col(columns[0]) != nw.col(f"was_{columns[0]}"))
    for name in columns[1:]:
        moved = moved | certain(nw.col(name) != nw.col(f"was_{name}"))
    linked = links.select(nw.col("source").alias("feed"), nw.col("source_id").alias("firm_id"), "account_id")
    changed = engine.materialize(both.filter(moved).join(linked, on=_KEY, how="inner"))
    if not engine.count(changed.head(1)):
        return engine.table([], RAW)
    parts = [_text_change(changed, name, *words) for name, words in _TEXTS.items()]
    parts.append(_payer_class(changed))
    parts += [_line_change(changed, line, policy) for line in LINES]
    return stack(parts)


def _text_change(changed: Frame, name: str, kind: str, detail: str) -> Frame:
    rows = changed.filter(certain(nw.col(name) != nw.col(f"was_{name}")))
    return _event(rows, kind, nw.lit(detail), nw.col(f"was_{name}"), nw.col(name))


def _payer_class(changed: Frame) -> Frame:
    """Government-heavy or not, by days: the basis that the feed has."""
    now = nw.col("medicare_days_bp") + nw.col("medicaid_days_bp")
    was = nw.col("was_medicare_days_bp") + nw.col("was_medicaid_days_bp")
    flipped = certain((now > GOV_HEAVY_BP) != (was > GOV_HEAVY_BP))
    old, new = _gov(was), _gov(now)
    return _event(changed.filter(flipped), "PAYER_CONTRACT", nw.lit("payer_class"), old, new)


def _gov(share: nw.Expr) -> nw.Expr:
    return cases([(share > GOV_HEAVY_BP, "government-heavy")], "not government-heavy")


def _line_change(changed: Frame, line: str, policy: TriggerPolicy) -> Frame:
    """A line that opened or closed, crossed the mark of strength, or whose revenue moved by the policy's share."""
    share, was = nw.col(f"{line}_share_bp"), nw.col(f"was_{line}_share_bp")
    revenue, before = _line_revenue(line, ""), _line_revenue(line, "was_")
    grown = nw.when(revenue >= before).then(revenue - before).otherwise(before - revenue)
    detail = cases(
        [
            ((was == 0) & (share > 0), f"{line}_opened"),
            ((was > 0) & (share == 0), f"{line}_closed"),
            ((was >= STRONG_SHARE_BP) != (share >= STRONG_SHARE_BP), f"{line}_strength"),
            ((before > 0) & (grown * 10_000 >= before * policy.service_line_delta_bp), f"{line}_revenue"),
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
