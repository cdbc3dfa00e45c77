"""KPIs of deals: win rates, cycle lengths, deal sizes, and whether segments really differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from mappings.insight_policy import Benchmark, KpiPolicy
from sync.insight.benchmarks import benchmark, verdict
from sync.insight.kpi import NO_BENCHMARK, OPEN_TYPE, Counted, Kpi, grouped, pct, percent, rate_row, won_of
from sync.insight.standing import Row, days_between
from sync.insight.statistics import differ, kaplan_meier_median, median, shrunk, wilson

_DAYS_A_MONTH = 30.4375
_ROUNDING = 1e-9  # 0.6 / 0.2 is a hair less than 3


def win_rate_kpi(book: Counted) -> Kpi:
    """R48 with the benchmark of R45."""
    rows = []
    for kind, deals in grouped(book.closed, "org_type", OPEN_TYPE).items():
        for name, part in _by_benchmark(kind, deals, book.policy).items():
            rate = wilson(*won_of(part))
            mark = book.policy.benchmarks.get(name)
            compared = verdict(rate.rate, mark.win_rate_bp) if mark else NO_BENCHMARK
            group = f"{kind} ({name.replace('_', ' ')})" if name else kind
            rows.append({"group": group, **rate_row(rate, book.policy), "benchmark": _range(mark),
                         "against_it": compared})  # fmt: skip
    total = wilson(*won_of(book.closed))
    line = f"{percent(total.rate)} of {total.n:,} closed deals won ({percent(total.low)} to {percent(total.high)})"
    line = line if total.n else f"no deal was closed in the last {book.policy.window_days:,} days"
    note = "open deals are left out; fewer than " + str(book.policy.min_n) + " closed deals are indicative"
    return Kpi(id="R48", name="Win rate by organisation type", line=line, rows=tuple(rows), chart="win_rate_pct",
               by="group", notes=(note,))  # fmt: skip


def _by_benchmark(kind: str, deals: Iterable[Row], policy: KpiPolicy) -> dict[str, list[Row]]:
    """Deals of one type by the benchmark that fits their organisation; "" = none fits."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in deals:
        groups[benchmark(kind, row["hospitals"], row["providers"], policy) or ""].append(row)
    return dict(sorted(groups.items()))


def _range(mark: Benchmark | None) -> str:
    return NO_BENCHMARK if mark is None else f"{mark.win_rate_bp[0] / 100:g} to {mark.win_rate_bp[1] / 100:g} %"


def cycle_kpi(book: Counted) -> Kpi:
    """R49: median days from opened to won; deals not won are censored, not left out."""
    rows = []
    for segment, deals in grouped(book.sold, "segment", "(no segment)").items():
        waits = [(days, bool(r["is_won"])) for r in deals if (days := _duration(r, book.numbers.as_of)) is not None]
        won = [days for days, is_won in waits if is_won]
        days = kaplan_meier_median(waits)
        rows.append({"segment": segment, "median_days": days, "won": len(won), "censored": len(waits) - len(won),
                     "median_of_won_only": median(won),
                     "reading": "not reached" if days is None else ""})  # fmt: skip
    known = [f"{r['segment']} {r['median_days']} d" for r in rows if r["median_days"] is not None]
    none = "no segment reaches its median: over half of its deals are still open or were lost"
    line = "; ".join(known) or (none if rows else "no deal is known")
    note = "Kaplan-Meier median, open and lost deals censored; the median of won deals only is shown beside it"
    return Kpi(id="R49", name="Cycle length by segment", line=line, rows=tuple(rows), chart="median_days", by="segment",
               notes=(note,))  # fmt: skip


def _duration(row: Row, as_of: str) -> int | None:
    end = row["close_date"] if row["is_closed"] else as_of
    days = days_between(row["created_on"], end)
    return days if days is not None and days >= 0 else None


def deal_size_kpi(book: Counted) -> Kpi:
    """R50: amounts of won deals by payer class."""
    rows = []
    for payer, deals in grouped(book.closed, "payer_class", "(unknown)").items():
        won = [r["amount_cents"] for r in deals if r["is_won"] and r["amount_cents"] is not None]
        mean = round(sum(won) / len(won) / 100) if won else None
        middle = median(won)
        rows.append({"payer_class": payer, "won": len(won), "median_usd": None if middle is None else middle // 100,
                     "mean_usd": mean, "reading": "indicative" if len(won) < book.policy.min_n else ""})  # fmt: skip
    line = "; ".join(f"{r['payer_class']} {r['median_usd']:,} USD" for r in rows if r["median_usd"] is not None)
    then = sum(bool(r["is_payer_then"]) for r in book.closed)
    closed = len(book.closed)
    note = f"payer class on the day of closing for {then:,} of {closed:,} closed deals, as known now for the rest"
    return Kpi(id="R50", name="Deal size by payer mix", line=line or "no won deal", rows=tuple(rows),
               chart="median_usd", by="payer_class", notes=(note,))  # fmt: skip


def benchmarks_kpi(book: Counted) -> Kpi:
    """R45: win rate, cycle and deal size of every class beside its benchmark; classes without one say so."""
    parts: dict[str, list[Row]] = defaultdict(list)
    for row in book.sold:
        name = benchmark(row["org_type"] or "", row["hospitals"], row["providers"], book.policy) or NO_BENCHMARK
        parts[name].append(row)
    rows = tuple(_class_row(name, deals, book) for name, deals in sorted(parts.items()))
    known = ", ".join(row["class"] for row in rows if row["class"] != NO_BENCHMARK)
    line = f"deals of classes with a benchmark: {known or 'none'}" if rows else "no deal is known"
    note = "systems of 6 to 10 hospitals and types without a published range have none; nothing is interpolated"
    return Kpi(id="R45", name="Against benchmarks", line=line, rows=rows, notes=(note,))


def _class_row(name: str, deals: Sequence[Row], book: Counted) -> Row:
    mark = book.policy.benchmarks.get(name)
    bounds = (mark.win_rate_bp, mark.cycle_months, mark.deal_usd) if mark else (None, None, None)
    rate = wilson(*won_of(deals))
    waits = [(days, bool(r["is_won"])) for r in deals if (days := _duration(r, book.numbers.as_of)) is not None]
    months = None if (days := kaplan_meier_median(waits)) is None else round(days / _DAYS_A_MONTH, 1)
    cents = median([r["amount_cents"] for r in deals if r["is_won"] and r["amount_cents"] is not None])
    usd = None if cents is None else cents // 100
    figures = (None if rate.rate is None else rate.rate * 10_000, months, usd)
    against = [_against(figure, bound) for figure, bound in zip(figures, bounds, strict=True)]
    return {
        "class": name.replace("_", " "), "closed": rate.n, "win_rate_pct": pct(rate.rate), "win_rate": against[0],
        "cycle_months": months, "cycle": against[1], "deal_usd": usd, "deal": against[2],
        "reading": "indicative" if rate.n < book.policy.min_n else "",
    }  # fmt: skip


def _against(value: float | None, bounds: tuple[int, int] | None) -> str:
    """Where a figure stands against a range."""
    if bounds is None:
        return NO_BENCHMARK
    if value is None:
        return "unknown"
    return "below" if value < bounds[0] else "above" if value > bounds[1] else "within"


def differentiation_kpi(book: Counted) -> Kpi:
    """R54: whether segments really win differently."""
    groups = {name: won_of(rows) for name, rows in grouped(book.closed, "segment", "(no segment)").items()}
    return differentiation({name: (won, n - won) for name, (won, n) in groups.items()}, book.policy)


def differentiation(groups: Mapping[str, tuple[int, int]], policy: KpiPolicy) -> Kpi:
    """R54 of (won, lost) per segment."""
    rows = tuple({"segment": name, **rate_row(wilson(won, won + lost), policy)} for name, (won, lost) in groups.items())
    name = "Differentiation of segments"
    found = differ(list(groups.values()))
    if found is None or not found.is_trusted:
        line = "INSUFFICIENT: too few won or lost deals per segment for a chi-square test (5 expected in each cell)"
        return Kpi(id="R54", name=name, line=line, rows=rows)
    apart = found.p * 10000 < policy.differentiation_alpha_bp
    wide = found.spread * 10000 >= policy.differentiation_spread_bp
    verdict_ = "differentiated" if apart and wide else "NOT-DIFFERENTIATED"
    p = "p < .001" if found.p < 0.001 else f"p = {found.p:.3f}"
    line = f"{verdict_}: chi-square({found.degrees}) = {found.chi2:.2f}, {p}, spread {100 * found.spread:.1f} points"
    return Kpi(id="R54", name=name, line=line, rows=rows, chart="win_rate_pct", by="segment")


def lift_kpi(book: Counted) -> Kpi:
    """R30: segments that convert at a multiple of the average."""
    won, n = won_of(book.closed)
    rows = []
    for segment, deals in grouped(book.closed, "segment", "(no segment)").items():
        rows.append({"segment": segment, **lift(*won_of(deals), won / n if n else 0.0, book.policy)})
    ideal = [row["segment"] for row in rows if row["verdict"] == "ICP"]
    line = f"ideal customer profile by conversion: {', '.join(ideal)}" if ideal else "no segment converts well enough"
    return Kpi(id="R30", name="Lift of segments", line=line, rows=tuple(rows), chart="lift", by="segment")


def lift(won: int, n: int, average: float, policy: KpiPolicy) -> Row:
    """Lift over the average with its verdict: ICP needs enough deals and an interval that stays above the average."""
    rate = wilson(won, n)
    times = rate.rate / average if rate.rate is not None and average else None
    verdict_ = "unknown"
    if times is not None and rate.low is not None:
        sure = n >= policy.min_n and rate.low / average > 1
        verdict_ = (
            "ICP" if times >= policy.lift - _ROUNDING and sure else "suggestive" if times > 1 else "below average"
        )
    calm = shrunk(won, n, average, policy.shrink_n) if n else None
    return {**rate_row(rate, policy), "lift": None if times is None else round(times, 2),
            "shrunk_pct": pct(calm), "verdict": verdict_}  # fmt: skip
