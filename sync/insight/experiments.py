"""R56: two ways of working side by side, told apart by system, so that colleagues of one system are never in both."""

from __future__ import annotations

import hashlib
from collections import defaultdict

from mappings.insight_policy import Experiment
from sync.insight.kpi import Counted, Kpi, rate_row, won_of
from sync.insight.standing import Row
from sync.insight.statistics import gap, wilson

TRIED, USUAL = "tried", "usual"
_WHOLE = 10_000


def arm(system_id: str, experiment: Experiment) -> str:
    """Which way a system is worked in: the same for ever, for all of its accounts, on any machine."""
    drawn = int.from_bytes(hashlib.sha256(f"{experiment.id}:{system_id}".encode()).digest()[:8], "big")
    return TRIED if drawn % _WHOLE < experiment.share_bp else USUAL


def experiments_kpi(book: Counted) -> Kpi:
    """R56: win rates of both arms, of deals opened since it began, with the interval of their difference."""
    rows: list[Row] = []
    told = []
    for experiment in book.policy.experiments:
        sides: dict[str, list[Row]] = defaultdict(list)
        for deal in book.sold:
            if deal["system_account_id"] and (deal["created_on"] or "") >= experiment.starts_on:
                sides[arm(deal["system_account_id"], experiment)].append(deal)
        rates = {name: wilson(*won_of(sides[name])) for name in (TRIED, USUAL)}
        for name, rate in rates.items():
            systems = len({deal["system_account_id"] for deal in sides[name]})
            rows.append({"experiment": experiment.id, "arm": name, "systems": systems, **rate_row(rate, book.policy)})
        between = gap(rates[TRIED], rates[USUAL])
        words = "no closed deal in both arms yet" if between is None else (
            "{:+.1f} points ({:+.1f} to {:+.1f})".format(*(100 * x for x in between))
        )  # fmt: skip
        told.append(f"{experiment.id}: {words}")
    line = "; ".join(told) or "no experiment is given in kpis.yaml"
    return Kpi(
        id="R56", name="Experiments", line=line, rows=tuple(rows), chart="win_rate_pct" if rows else "", by="arm"
    )
