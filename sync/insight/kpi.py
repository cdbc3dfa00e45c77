"""What a KPI is, the small tables it counts, and how shares are shown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mappings.insight_policy import KpiPolicy
from mappings.policy import Policies
from sync.engine import Frame
from sync.insight.standing import Row
from sync.insight.statistics import Rate

NO_BENCHMARK = "no benchmark"
OPEN_TYPE = "(type open)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kpi:
    """One KPI: a line for people, rows for tables and charts."""

    id: str  # requirement it answers
    name: str
    line: str  # what it says, one sentence
    rows: tuple[Row, ...] = ()
    chart: str = ""  # column of the rows that is drawn; empty = none
    by: str = ""  # column the bars stand for
    notes: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """What KPIs count."""

    standing: Frame  # STANDING
    deals: Frame  # DEALS
    wins: Frame  # WINS
    users: Mapping[tuple[str, str], str]  # connection, user id -> e-mail
    policies: Policies
    as_of: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Small tables in plain rows."""

    numbers: Numbers
    accounts: Sequence[Row]  # one per territory, owner, tier, type, segment: counts and sums
    sold: Sequence[Row]  # deals opened or closed within the window
    closed: Sequence[Row]
    wins: Sequence[Row] = ()  # WINS of every time
    books: Sequence[Row] = ()  # one per person the policy names, role, rule and segment: accounts

    @property
    def policy(self) -> KpiPolicy:
        return self.numbers.policies.kpis


def won_of(rows: Iterable[Row]) -> tuple[int, int]:
    """Won deals and all closed ones."""
    listed = [row for row in rows if row["is_closed"]]
    return sum(bool(row["is_won"]) for row in listed), len(listed)


def grouped(rows: Iterable[Row], key: str, empty: str) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[key] or empty].append(row)
    return dict(sorted(groups.items()))


def percent(value: float | None) -> str:
    """A share for people."""
    return "unknown" if value is None else f"{100 * value:.1f} %"


def rate_row(rate: Rate, policy: KpiPolicy) -> Row:
    """Columns of a rate."""
    return {
        "won": rate.wins,
        "closed": rate.n,
        "win_rate_pct": None if rate.rate is None else round(100 * rate.rate, 1),
        "low_pct": None if rate.low is None else round(100 * rate.low, 1),
        "high_pct": None if rate.high is None else round(100 * rate.high, 1),
        "reading": "indicative" if rate.n < policy.min_n else "",
    }


def pct(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 1)
