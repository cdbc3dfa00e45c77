"""Quota attainment of people: within what is comparable (R51, R62), and by the model of their territories (R53).

Attainment is what a person won in the year before the date, of any account, over the quota of a year; 1 = reached.
It is unknown, never nothing, without a quota, without a user of the person in a CRM, or where a won deal has no amount.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mappings.insight_policy import KpiPolicy
from mappings.policy import Rep
from sync.insight.kpi import NO_BENCHMARK, Counted, Kpi, pct, rate_row, won_of
from sync.insight.standing import Row, before
from sync.insight.statistics import Rate, gap, mean, mean_gap, spread, wilson

ACCOUNT_BASED, GEOGRAPHIC = "account-based", "geographic"
_MODELS = (ACCOUNT_BASED, GEOGRAPHIC)
_BY_STATE = ("state_geo", "state_primary")
_YEAR = 365
_OWNERS = ("PRIMARY", "GEO")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """What one person reached, and with whom that can be compared."""

    rep: Rep
    won_cents: int | None
    share: float | None  # 1 = quota reached; None = unknown
    model: str  # of most accounts in the book; "" = neither, or not known
    band: str  # segment of most accounts in the book; "" = none
    apart: str  # why it is compared with nobody; "" = it is

    def group(self, policy: KpiPolicy) -> tuple[str, ...]:
        """What is compared with what, in the order of the policy."""
        words = {"role": self.rep.role, "model": self.model, "segment_band": self.band}
        return tuple(words[name] for name in policy.comparable_by)


def reached(book: Counted) -> tuple[Reached, ...]:
    """Everybody on the roster who is active, in its order."""
    won, users = _won(book), {email for email in book.numbers.users.values() if email}
    books: dict[str, list[Row]] = defaultdict(list)
    for row in book.books:
        books[row["assigned_email"] or ""].append(row)
    return tuple(_reached(rep, book, won, users, books) for rep in book.numbers.policies.reps.reps if rep.active)


def _reached(
    rep: Rep, book: Counted, won: Mapping[str, int | None], users: set[str], books: Mapping[str, list[Row]]
) -> Reached:
    email = rep.email.lower()
    cents = won.get(email, 0) if email in users else None
    apart = _why_apart(rep, cents, email in users, book.numbers.as_of)
    share = cents / 100 / rep.quota_usd if cents is not None and rep.quota_usd else None
    accounts = books.get(email, [])
    return Reached(rep=rep, won_cents=cents, share=share, model=_model_of(rep, accounts),
                   band=_most(accounts, "segment"), apart=apart)  # fmt: skip


def _won(book: Counted) -> dict[str, int | None]:
    """Cents won within the year by e-mail; None where a deal of it has no amount."""
    year, users = before(book.numbers.as_of, _YEAR), book.numbers.users
    won: dict[str, int | None] = defaultdict(int)
    for row in book.wins:
        if row["close_date"] and year < row["close_date"] <= book.numbers.as_of:
            email = users.get((row["connection"], row["owner"]), "")
            so_far, amount = won[email], row["amount_cents"]
            won[email] = None if so_far is None or amount is None else so_far + amount
    return won


def _why_apart(rep: Rep, won: int | None, is_user: bool, as_of: str) -> str:
    """Why somebody's quota is compared with nobody's; empty where it is."""
    if not rep.quota_usd:
        return "no quota is known"
    if not is_user:
        return "no user of a CRM has this address"
    if won is None:
        return "a won deal has no amount"
    if rep.ramp_until and rep.ramp_until > as_of:
        return f"ramping up until {rep.ramp_until}"
    full = full_quarters(rep.since, as_of) if rep.since else 2
    return "" if full >= 2 else f"{full} full quarter{'' if full == 1 else 's'} in the role"


def full_quarters(since: str, as_of: str) -> int:
    """Calendar quarters that lie wholly between the two dates."""
    start, end = (int(day[:4]) * 4 + (int(day[5:7]) - 1) // 3 for day in (since, as_of))
    first_day = f"{since[:4]}-{3 * ((int(since[5:7]) - 1) // 3) + 1:02}-01"
    return max(0, end - start - (since > first_day))


def model(rule: str | None, role: str | None) -> str:
    """How an account came to its owner: by its place, or as this account; "" = it has none by the rules."""
    if not rule:
        return ""
    by_place = rule in _BY_STATE or (role == "GEO" and rule != "named")
    return GEOGRAPHIC if by_place else ACCOUNT_BASED


def _model_of(rep: Rep, accounts: Iterable[Row]) -> str:
    """The model of most accounts of a book; without one a geographic representative is geographic, others neither."""
    if rep.role not in _OWNERS:
        return ""
    counts: dict[str, int] = defaultdict(int)
    for row in accounts:
        counts[model(row["assigned_rule"], row["assigned_role"])] += row["accounts"]
    by_place, as_account = counts[GEOGRAPHIC], counts[ACCOUNT_BASED]
    if by_place == as_account:
        return GEOGRAPHIC if rep.role == "GEO" else ""
    return GEOGRAPHIC if by_place > as_account else ACCOUNT_BASED


def _most(accounts: Iterable[Row], column: str) -> str:
    """The word that most accounts have, the lower where it is the same; "" of none."""
    counts: dict[str, int] = defaultdict(int)
    for row in accounts:
        counts[row[column] or ""] += row["accounts"]
    return min(counts, key=lambda word: (-counts[word], word)) if counts else ""


def attainment_kpi(book: Counted) -> Kpi:
    """R51: won in a year against the quota, compared among those of one role, model and segment."""
    people = reached(book)
    if not any(one.rep.quota_usd for one in people):
        return Kpi(id="R51", name="Quota attainment", line="no quota is known: give quota_usd in reps.yaml")
    groups: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for one in people:
        if not one.apart and one.share is not None:
            groups[one.group(book.policy)].append(one.share)
    told = {group: attainment(shares, book.policy) for group, shares in sorted(groups.items())}
    line = "; ".join(f"{_words(group)}: {one.line}" for group, one in told.items()) or "nobody is comparable"
    chart = "attainment_pct" if any(one.chart for one in told.values()) else ""
    by = ", ".join(name.replace("_", " ") for name in book.policy.comparable_by)
    note = f"comparable: the same {by} for two full quarters, and not ramping up" if by else "everybody is compared"
    return Kpi(id="R51", name="Quota attainment", line=line, rows=tuple(_person_row(one) for one in people),
               chart=chart, by="person", notes=(note,))  # fmt: skip


def _words(group: Sequence[str]) -> str:
    return ", ".join(word for word in group if word) or "everybody"


def _person_row(one: Reached) -> Row:
    return {
        "person": one.rep.email, "role": one.rep.role, "model": one.model, "segment_band": one.band,
        "won_usd": None if one.won_cents is None else one.won_cents // 100,
        "quota_usd": one.rep.quota_usd or None, "attainment_pct": pct(one.share), "reading": one.apart,
    }  # fmt: skip


def attainment(values: Sequence[float], policy: KpiPolicy, *, rows: tuple[Row, ...] = ()) -> Kpi:
    """R51 of attainments, 1 = quota reached: the coefficient of variation decides, the rest is shown beside it."""
    found = spread(values)
    if len(values) < policy.min_territories or found is None:
        line = f"INSUFFICIENT: {len(values)} comparable, at least {policy.min_territories} are needed"
        if len(values) >= policy.min_territories:
            line = f"INSUFFICIENT: nothing was won by {len(values)} comparable people"
        return Kpi(id="R51", name="Quota attainment", line=line, rows=rows)
    fires = found.cv * 10000 > policy.variance_cv_bp
    line = (
        f"cv {100 * found.cv:.1f} %, {'rebalance' if fires else 'in bounds'}; range {100 * found.range:.0f} points, "
        f"largest deviation {100 * found.max_deviation:.0f} %, {100 * found.within_15_pct:.0f} % of them within 15 %"
    )
    return Kpi(id="R51", name="Quota attainment", line=line, rows=rows, chart="attainment_pct", by="person")


def models_kpi(book: Counted) -> Kpi:
    """R53: win rate and attainment of account-based against geographic territories, each with its interval."""
    sides: dict[str, list[Row]] = {name: [] for name in _MODELS}
    for row in book.closed:
        if (name := model(row["assigned_rule"], row["assigned_role"])) in sides:
            sides[name].append(row)
    rates = {name: wilson(*won_of(rows)) for name, rows in sides.items()}
    places = {name: len({r["territory"] for r in rows if r["territory"]}) for name, rows in sides.items()}
    people = {name: [one for one in reached(book) if one.model == name] for name in _MODELS}
    rows = tuple(
        {"model": name, "territories": places[name], **rate_row(rates[name], book.policy),
         **_attained(people[name]), "benchmark": NO_BENCHMARK}
        for name in _MODELS
    )  # fmt: skip
    least = book.policy.min_territories
    line = f"{_rate_gap(rates, places, least)}; {_attainment_gap(people, least)}"
    note = "a person's model is that of most accounts of the book; ramping up and new people are not compared"
    return Kpi(id="R53", name="Geographic against account-based", line=line, rows=rows, chart="win_rate_pct",
               by="model", notes=(note,))  # fmt: skip


def _rate_gap(rates: Mapping[str, Rate], places: Mapping[str, int], least: int) -> str:
    between = gap(rates[ACCOUNT_BASED], rates[GEOGRAPHIC])
    if min(places.values()) < least or between is None:
        return f"win rate INSUFFICIENT: {least} territories of each model are needed, found {_shown(places)}"
    return "win rate account-based less geographic: {:+.1f} points ({:+.1f} to {:+.1f})".format(
        *(100 * x for x in between)
    )


def _attainment_gap(people: Mapping[str, Sequence[Reached]], least: int) -> str:
    shares = {name: _shares(listed) for name, listed in people.items()}
    counts = {name: len(values) for name, values in shares.items()}
    between = mean_gap(shares[ACCOUNT_BASED], shares[GEOGRAPHIC])
    if min(counts.values()) < least or between is None:
        return f"attainment INSUFFICIENT: {least} comparable quotas of each model are needed, found {_shown(counts)}"
    return "attainment account-based less geographic: {:+.1f} points ({:+.1f} to {:+.1f})".format(
        *(100 * x for x in between)
    )


def _shares(people: Iterable[Reached]) -> list[float]:
    return [one.share for one in people if one.share is not None and not one.apart]


def _attained(people: Sequence[Reached]) -> Row:
    """Columns of the attainment of one side; of nobody it is unknown."""
    shares = _shares(people)
    found = mean(shares)
    return {
        "people": len(people), "compared": len(shares), "no_quota": sum(not one.rep.quota_usd for one in people),
        "attainment_pct": pct(found[0]) if found else None,
        "attainment_low_pct": pct(found[1]) if found else None,
        "attainment_high_pct": pct(found[2]) if found else None,
    }  # fmt: skip


def _shown(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items())
