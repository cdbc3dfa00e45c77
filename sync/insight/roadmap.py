"""The 90-day roadmap as evidence: every item with what was counted, and whether it is done, partial or missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import narwhals as nw

from sync.engine import Engine, Frame
from sync.frames import count_where
from sync.insight.kpi import Kpi
from sync.insight.lint import Lint
from sync.world import INT


class State(StrEnum):
    """How far an item is."""

    DONE = "done"  # evidence for all of it
    PARTIAL = "partial"  # evidence for some of it
    MISSING = "missing"  # no evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One item of the roadmap."""

    days: str  # 1-30, 31-60, 61-90
    item: str
    state: State
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the roadmap is judged by."""

    standing: Frame  # STANDING
    profiles: Frame  # PROFILES
    kpis: Sequence[Kpi]
    lints: Sequence[Lint]
    records: Mapping[str, int]  # connection -> records pulled
    feeds: Sequence[str]  # accepted deliveries
    segments: int  # active ones
    profiles_defined: int
    territories: int
    conflict_rules: int
    applied_plans: int
    pushed_fields: int  # managed fields that a map pushes
    routed_leads: int
    mails: int  # ownership mails sent
    trigger_events: int
    audits: int  # exports and audits that people made
    authority_rules: int = 0  # defaults of who decides, and questions that are answered
    top_parents: int = 100


def roadmap(given: Evidence, engine: Engine) -> tuple[Item, ...]:
    """Every item, in order."""
    counts = _counts(given, engine)
    return (*_first(given, counts, engine), *_second(given, counts), *_third(given))


def _counts(given: Evidence, engine: Engine) -> Mapping[str, int]:
    decides = nw.col("account_id") == nw.col("holder_account_id")
    known = given.profiles.select(
        nw.len().cast(INT).alias("accounts"),
        count_where(~nw.col("org_type").is_null()).alias("typed"),
        count_where(~nw.col("line_1").is_null()).alias("lined"),
        count_where(~nw.col("account_tier").is_null()).alias("tiered"),
        count_where(~nw.col("score_tenths").is_null() & (nw.col("band") != "INSUFFICIENT")).alias("scored"),
        count_where(~nw.col("quadrant").is_null()).alias("placed"),
        count_where(~nw.col("segment").is_null()).alias("segmented"),
        count_where(decides).alias("deciding"),
    )
    linked = given.standing.select(
        count_where(nw.col("in_crm")).alias("in_crm"),
        count_where(nw.col("in_crm") & (nw.col("account_id") != nw.col("system_account_id"))).alias("affiliated"),
        count_where(~nw.col("owner_email").is_null()).alias("owned"),
    )
    return {**next(iter(engine.rows(known))), **next(iter(engine.rows(linked)))}


def _first(given: Evidence, counts: Mapping[str, int], engine: Engine) -> Iterable[Item]:
    days, total = "1-30", counts["accounts"]
    pulled = ", ".join(f"{name} {n:,}" for name, n in sorted(given.records.items()))
    yield _item(days, "Accounts exported from the CRMs", bool(given.records), pulled or "nothing was pulled")
    for name, words in (("typed", "Organisation types known"), ("lined", "Service lines known")):
        yield _share(days, words, counts[name], total)
    yield _share(days, "Records linked to a health system", counts["affiliated"], counts["in_crm"])
    yield _item(days, "Enrichment feeds accepted", bool(given.feeds), ", ".join(given.feeds) or "no delivery")
    mapped, parents = _top_parents(given, engine)
    yield _share(days, f"Top {given.top_parents} parents mapped", mapped, parents)
    for id_, words in (
        ("R48", "Win and loss by type"),
        ("R50", "Win and loss by payer mix"),
        ("R30", "Conversion by segment"),
    ):
        yield _kpi(days, words, id_, given.kpis)
    yield _share(days, "Tier criteria saved and applied", counts["tiered"], total)
    yield _item(
        days, "Ideal customer profiles defined", given.profiles_defined > 0, f"{given.profiles_defined} profiles"
    )


def _top_parents(given: Evidence, engine: Engine) -> tuple[int, int]:
    """Of the largest systems, those of which every CRM record has its parent."""
    sizes = given.standing.group_by("system_account_id").agg(
        nw.len().cast(INT).alias("members"),
        count_where(nw.col("in_crm")).alias("in_crm"),
        count_where(nw.col("in_crm") & ~nw.col("parent_account_id").is_null()).alias("placed"),
        count_where(nw.col("in_crm") & (nw.col("account_id") == nw.col("system_account_id"))).alias("root"),
    )
    rows = sorted(
        engine.rows(sizes.filter(nw.col("members") > 1)), key=lambda r: (-r["members"], r["system_account_id"])
    )
    top = rows[: given.top_parents]
    return sum(row["placed"] + row["root"] >= row["in_crm"] for row in top), len(top)


def _second(given: Evidence, counts: Mapping[str, int]) -> Iterable[Item]:
    days = "31-60"
    yield _share(days, "Accounts placed in the opportunity matrix", counts["placed"], counts["accounts"])
    yield _share(days, "Accounts scored on enough knowledge", counts["scored"], counts["accounts"])
    yield _kpi(days, "White space listed", "R47", given.kpis)
    yield _item(days, "Territory model chosen", given.territories > 0, f"{given.territories} active territories")
    yield _kpi(days, "Balance report", "R52", given.kpis)
    open_ = next((lint for lint in given.lints if lint.id == "FM1-MULTI-REP"), None)
    left = len(open_.rows) if open_ else 0
    yield Item(days=days, item="One owner per system", state=State.PARTIAL if left else State.DONE,
               evidence=f"{left} systems with several owners")  # fmt: skip
    rules = f"{given.authority_rules} rules say who decides for whom"
    yield _item(days, "Rules for parents and affiliates", given.authority_rules > 0, rules)
    yield _item(days, "Conflict policy in force", given.conflict_rules > 0, f"{given.conflict_rules} fields have rules")


def _third(given: Evidence) -> Iterable[Item]:
    days = "61-90"
    evidence = f"{given.applied_plans} plans applied, {given.pushed_fields} fields are pushed"
    yield _item(days, "Pushed to the CRMs", given.applied_plans > 0, evidence)
    yield _item(days, "Lead routing on", given.routed_leads > 0, f"{given.routed_leads} leads routed")
    yield _item(days, "Change notices sent", given.mails > 0, f"{given.mails} ownership mails sent")
    told = sum(bool(kpi.rows) for kpi in given.kpis)
    yield Item(days=days, item="KPIs measured", state=_state(told, len(given.kpis)),
               evidence=f"{told} of {len(given.kpis)} KPIs have data")  # fmt: skip
    stale = next((len(lint.rows) for lint in given.lints if lint.id == "FM3-STALE"), 0)
    yield Item(days=days, item="Hierarchy verified within the quarter", state=State.PARTIAL if stale else State.DONE,
               evidence=f"{stale:,} systems verified longer ago")  # fmt: skip
    yield _item(days, "Audit trail kept", given.audits > 0, f"{given.audits} audit entries")
    yield _item(
        days, "Triggers on", given.trigger_events > 0, f"{given.trigger_events} accounts flagged for a new score"
    )


def _item(days: str, words: str, holds: bool, evidence: str) -> Item:
    return Item(days=days, item=words, state=State.DONE if holds else State.MISSING, evidence=evidence)


def _share(days: str, words: str, count: int, total: int) -> Item:
    share = f"{count:,} of {total:,}" + (f" ({100 * count / total:.1f} %)" if total else "")
    return Item(days=days, item=words, state=_state(count, total), evidence=share)


def _state(count: int, total: int) -> State:
    if total and count >= total:
        return State.DONE
    return State.PARTIAL if count else State.MISSING


def _kpi(days: str, words: str, id_: str, kpis: Sequence[Kpi]) -> Item:
    found = next((kpi for kpi in kpis if kpi.id == id_), None)
    return _item(days, words, found is not None and bool(found.rows), found.line if found else "not measured")
