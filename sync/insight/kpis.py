"""KPIs R44 to R54 and their neighbours, each with its interval, its benchmark or the words "no benchmark", and a note.

Rates come with 95 % Wilson intervals; fewer deals than the policy asks for are marked indicative, never hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import narwhals as nw

from mappings.insight_policy import KpiPolicy
from sync.engine import Engine, Frame
from sync.frames import certain, count_where
from sync.insight import quotas, sales
from sync.insight.experiments import experiments_kpi
from sync.insight.kpi import Counted, Kpi, Numbers, grouped, pct, percent
from sync.insight.standing import Row, before
from sync.insight.statistics import percentile, spread
from sync.segmentation import motions
from sync.world import INT


def kpis(numbers: Numbers, engine: Engine) -> tuple[Kpi, ...]:
    """Every KPI, in the order of their numbers."""
    accounts = list(engine.rows(_accounts(numbers.standing)))
    sold = [row for row in engine.rows(numbers.deals) if _in_window(row, numbers)]
    book = Counted(
        numbers=numbers,
        accounts=accounts,
        sold=sold,
        closed=[row for row in sold if row["is_closed"]],
        wins=list(engine.rows(numbers.wins)),
        books=list(engine.rows(_books(numbers.standing))),
    )
    makers: tuple[Callable[[Counted], Kpi], ...] = (
        *(_consolidation, _focus, _priorities, _lighthouses, _coverage, _ratio, _evenness),
        *(sales.lift_kpi, sales.win_rate_kpi, sales.cycle_kpi, sales.deal_size_kpi),
        *(_market, experiments_kpi, sales.benchmarks_kpi),
        *(quotas.attainment_kpi, quotas.models_kpi, sales.differentiation_kpi),
    )
    found = [maker(book) for maker in makers]
    found.append(_white_space(book, engine))
    return tuple(sorted(found, key=lambda kpi: kpi.id))


def _accounts(standing: Frame) -> Frame:
    """Accounts counted by what they have in common; the potential of an organisation counts once, where it decides."""
    by = ("territory", "is_active_territory", "owner_email", "account_tier", "segment", "status", "is_lighthouse")
    is_root = nw.col("account_id") == nw.col("system_account_id")
    decides = nw.col("account_id") == nw.col("holder_account_id")
    return standing.group_by(*by).agg(
        nw.len().cast(INT).alias("accounts"),
        nw.when(decides).then(nw.col("potential_cents")).sum().cast(INT).alias("potential"),
        count_where(is_root).alias("roots"),
        count_where(decides).alias("deciding"),
    )


def _books(standing: Frame) -> Frame:
    """Open accounts counted by whom the policy names, how, and their segment."""
    named = standing.filter(~nw.col("assigned_email").is_null(), nw.col("status") != "CLOSED")
    by = ("assigned_email", "assigned_role", "assigned_rule", "segment")
    return named.group_by(*by).agg(nw.len().cast(INT).alias("accounts"))


def _in_window(row: Row, numbers: Numbers) -> bool:
    """Opened by the date, and still open or closed within the window."""
    if row["is_closed"]:
        start = before(numbers.as_of, numbers.policies.kpis.window_days)
        return bool(row["close_date"]) and start < row["close_date"] <= numbers.as_of
    return not row["created_on"] or row["created_on"] <= numbers.as_of


def _consolidation(book: Counted) -> Kpi:
    """R22: how many accounts roll up, and how many places really buy."""
    rows = []
    for territory, groups in grouped(book.accounts, "territory", "(no territory)").items():
        total, roots = sum(g["accounts"] for g in groups), sum(g["roots"] for g in groups)
        deciding = sum(g["deciding"] for g in groups)
        rows.append({
            "territory": territory, "accounts": total, "rolled_up": total - roots, "buying_centers": deciding,
            "consolidation_pct": round(100 * (total - roots) / total, 1),
        })  # fmt: skip
    total = sum(row["accounts"] for row in rows)
    rolled, centers = sum(row["rolled_up"] for row in rows), sum(row["buying_centers"] for row in rows)
    line = f"{total:,} accounts, {rolled:,} roll up; {centers:,} buying centers decide"
    return Kpi(id="R22", name="Consolidation", line=line, rows=tuple(rows), chart="consolidation_pct", by="territory")


def _coverage(book: Counted) -> Kpi:
    """R44: potential of accounts in an active territory with an active owner, of all potential."""
    open_ = [g for g in book.accounts if g["status"] != "CLOSED"]
    covered = [g for g in open_ if g["is_active_territory"] and g["owner_email"]]
    money, all_money = sum(g["potential"] or 0 for g in covered), sum(g["potential"] or 0 for g in open_)
    count, total = sum(g["accounts"] for g in covered), sum(g["accounts"] for g in open_)
    by_money = money / all_money if all_money else None
    by_count = count / total if total else None
    rows = (
        {"of": "potential, US dollars", "covered": money // 100, "total": all_money // 100, "pct": pct(by_money)},
        {"of": "accounts", "covered": count, "total": total, "pct": pct(by_count)},
    )
    line = f"{percent(by_money)} of the potential and {percent(by_count)} of the accounts are covered"
    note = "potential is the yearly figure per organisation type in segments.yaml, an assumption"
    return Kpi(id="R44", name="Market coverage", line=line, rows=rows, chart="pct", by="of", notes=(note,))


def _ratio(book: Counted) -> Kpi:
    """R46: accounts per active owner, by tier."""
    rows = []
    for tier, groups in grouped(book.accounts, "account_tier", "(no tier)").items():
        accounts = sum(g["accounts"] for g in groups)
        owners = len({g["owner_email"] for g in groups if g["owner_email"]})
        ratio = round(accounts / owners, 1) if owners else None
        rows.append({"tier": tier, "accounts": accounts, "owners": owners, "accounts_per_owner": ratio})
    line = "; ".join(f"{r['tier']}: {r['accounts_per_owner'] or 'no owner'}" for r in rows) or "no accounts"
    return Kpi(id="R46", name="Accounts per owner", line=line, rows=tuple(rows), chart="accounts_per_owner", by="tier")


def _white_space(book: Counted, engine: Engine) -> Kpi:
    """R47: good accounts that nobody works."""
    policy, numbers = book.policy, book.numbers
    scored = numbers.standing.filter(~nw.col("score_tenths").is_null())
    counts = engine.rows(scored.group_by("score_tenths").agg(nw.len().cast(INT).alias("n")))
    values = [row["score_tenths"] for row in counts for _ in range(row["n"])]
    cut = percentile(values, policy.white_space_percentile)
    tiers = [tier.id for tier in numbers.policies.tiers.tiers[:2]]
    good = certain(nw.col("account_tier").is_in(tiers))
    if cut is not None:
        good = good | certain(nw.col("score_tenths") >= cut)
    since = before(numbers.as_of, policy.white_space_idle_days)
    idle = ~certain(nw.col("last_activity") > since)
    alone, nowhere = nw.col("owner_email").is_null(), nw.col("territory").is_null()
    found = numbers.standing.filter(nw.col("status") != "CLOSED", good, alone | nowhere | idle)
    columns = (
        "account_id",
        "name",
        "state",
        "account_tier",
        "score_tenths",
        "owner_email",
        "territory",
        "last_activity",
    )
    rows = sorted(engine.rows(found.select(*columns)), key=lambda r: (-(r["score_tenths"] or 0), r["account_id"]))
    for row in rows:
        why = (
            (row["owner_email"] is None, "no active owner"),
            (row["territory"] is None, "no territory"),
            (not row["last_activity"] or row["last_activity"] <= since, f"no activity since {since}"),
        )
        tenths = row.pop("score_tenths")
        row["score"] = None if tenths is None else tenths / 10
        row["why"] = ", ".join(words for holds, words in why if holds)
    line = f"{len(rows):,} good accounts that nobody works"
    note = f"good: tier {' or '.join(tiers)}, or a score in the upper {100 - policy.white_space_percentile} %"
    return Kpi(id="R47", name="White space", line=line, rows=tuple(rows), notes=(note,))


def _lighthouses(book: Counted) -> Kpi:
    """R42: confirmed reference accounts per segment."""
    target = book.numbers.policies.segments.lighthouse
    rows = []
    for segment, groups in grouped(book.accounts, "segment", "(no segment)").items():
        count = sum(g["deciding"] for g in groups if g["is_lighthouse"])
        enough = target.target_from <= count <= target.target_to
        rows.append({"segment": segment, "lighthouses": count, "target": f"{target.target_from} to {target.target_to}",
                     "reading": "" if enough else "outside the target"})  # fmt: skip
    return Kpi(id="R42", name="Lighthouse accounts", line=f"{sum(r['lighthouses'] for r in rows)} confirmed",
               rows=tuple(rows), chart="lighthouses", by="segment")  # fmt: skip


def _evenness(book: Counted) -> Kpi:
    """R52: first-tier accounts per territory."""
    first = book.numbers.policies.tiers.tiers[0].id
    counts: dict[str, int] = {t.id: 0 for t in book.numbers.policies.territories.territories if t.active}
    for group in book.accounts:
        if group["territory"] in counts and group["account_tier"] == first and group["status"] != "CLOSED":
            counts[group["territory"]] += group["accounts"]
    return evenness(counts, first, book.policy)


def evenness(counts: Mapping[str, int], tier: str, policy: KpiPolicy) -> Kpi:
    """R52 of counts per territory."""
    found = spread([float(n) for n in counts.values()])
    rows = tuple({"territory": name, f"{tier}_accounts": n} for name, n in sorted(counts.items()))
    if found is None:
        return Kpi(id="R52", name="Evenness of the first tier", line=f"no {tier} account in two or more territories",
                   rows=rows)  # fmt: skip
    over = round(100 * found.above_mean)
    uneven = over > policy.evenness_max_pct
    line = f"fullest territory {over} % above the mean, cv {100 * found.cv:.1f} %" + (": uneven" if uneven else "")
    return Kpi(id="R52", name="Evenness of the first tier", line=line, rows=rows, chart=f"{tier}_accounts",
               by="territory")  # fmt: skip


def _focus(book: Counted) -> Kpi:
    """R06: which types the usual deal size suits."""
    segments = book.numbers.policies.segments
    average = segments.deal_size.average_usd
    word = motions.focus(average, segments)
    suits = {"LARGE": "IDN and large community systems", "SMALL": "physician groups and surgery centers",
             "MIXED": "both sets: a hybrid model"}[word]  # fmt: skip
    note = ("an average between the two limits decides nothing by itself",) if word == "MIXED" else ()
    return Kpi(id="R06", name="Deal size focus", line=f"{word} at {average:,} USD: {suits}", notes=note)


def _market(book: Counted) -> Kpi:
    """R40: what the policy takes the market for; the obtainable share is one of the services, not of everything."""
    market = book.numbers.policies.kpis.market
    if market is None:
        return Kpi(id="R40", name="Market size", line="no market is given in kpis.yaml")
    low, high = (market.serviceable_usd * share // 10_000 for share in market.obtainable_bp)
    rows = (
        *({"of": f"total, {place}", "usd": usd} for place, usd in sorted(market.total_usd.items())),
        {"of": "serviceable, all", "usd": market.addressable_usd},
        {"of": "serviceable, our services", "usd": market.serviceable_usd},
        {"of": "obtainable, from", "usd": low}, {"of": "obtainable, to", "usd": high},
    )  # fmt: skip
    line = f"{low:,} to {high:,} USD are obtainable of {market.serviceable_usd:,} USD for our services"
    return Kpi(id="R40", name="Market size", line=line, rows=rows, chart="usd", by="of")


def _priorities(book: Counted) -> Kpi:
    """R39: the prioritisation matrix of the policy's markets."""
    knobs = book.numbers.policies.segments.priorities
    rows: list[dict[str, Any]] = [
        {"market": m.name, "size_usd": m.size_usd, "win_rate_pct": m.win_rate_bp / 100, "acv_usd": m.acv_usd,
         "complexity": m.complexity, "priority": motions.priority(m, knobs)}
        for m in knobs.markets
    ]  # fmt: skip
    line = f"{sum(r['priority'] == 'HIGH' for r in rows)} of {len(rows)} markets of high priority"
    line = line if rows else "no market is listed in segments.yaml"
    return Kpi(id="R39", name="Prioritisation of markets", line=line, rows=tuple(rows))
