"""Limits of one plan: how much may change at once before a second look is needed.

Measured over any set of items: over the plan, and again over the approved part of it just before a write. First
contact (a fill, or a takeover of a value that was never agreed) is a class of its own: nothing of it passes until a
named person accepts that connection and field once; later plans measure it like the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import narwhals as nw

from mappings.policy import ConflictPolicy, Limit, Policies, TierPolicy
from sync.engine import Engine, Frame
from sync.frames import Expr, cases, certain, count_where, one_of
from sync.planning.threeway import State
from sync.world import GuardResult

Row = Mapping[str, Any]

FIRST_CONTACT = frozenset({State.FILL, State.TAKEOVER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Populations:
    """What shares are taken of."""

    accounts: Mapping[str, int]  # connection -> managed records
    books: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (connection, user) -> records owned now


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One guard: what it counts, in whose words, and what a person can do about a breach."""

    guard: str
    unit: str
    remedy: str


OWNER_CHANGES = Rule(
    guard="owner_changes", unit="accounts change owner", remedy="check territories and the hierarchy changes behind it"
)
OWNER_MOVES = Rule(guard="owner_moves", unit="moves between two owners", remedy="check territories and the roster")
OWNER_LOST = Rule(guard="owner_lost_by_rep", unit="accounts leave this owner", remedy="check the roster and the states")
OWNER_GAINED = Rule(guard="owner_gained_by_rep", unit="accounts come to this owner", remedy="check the states worked")
ONE_OWNER = Rule(
    guard="accounts_to_one_owner", unit="accounts go to one owner", remedy="check for a catch-all rule or a wrong id"
)
PARENTS = Rule(guard="parent_changes", unit="parents change", remedy="check the newest delivery's system columns")
ANY_FIELD = Rule(guard="any_field", unit="values of this field change", remedy="check the rule that sets it")
DOWNGRADES = Rule(
    guard="tier_downgrades", unit="accounts lose tier", remedy="check the delivery for missing volumes or shares"
)
CLEARS = Rule(
    guard="clears", unit="agreed values are emptied", remedy="check the feed, or set clear: auto for the field"
)
FIRST = Rule(
    guard="first_contact",
    unit="values are set where nothing was ever agreed",
    remedy="read them, then accept this guard once for the field",
)


def guard_id(result: GuardResult) -> str:
    """The name a person accepts: `owner_changes:salesforce`, `first_contact:hubspot:owner`."""
    return f"{result.guard}:{result.subject}"


def evaluate(
    items: Frame,
    changes: Frame,
    *,
    populations: Populations,
    policies: Policies,
    contacted: Collection[str] = (),
    accepted: Collection[str] = (),
    engine: Engine,
) -> tuple[GuardResult, ...]:
    """Every limit measured over the changes of these items, sorted by guard and subject.

    `contacted` are first-contact guards accepted for good (World.accepted_guards); `accepted` are guard ids, or
    prefixes of them ending at a colon, accepted for the digest of this very plan.
    """
    counted = changes.join(items.select("item_id"), on="item_id", how="semi")
    rows = list(engine.rows(_tallied(counted, policies)))
    measured = _Measure(populations, policies, frozenset(contacted), frozenset(accepted))
    return tuple(sorted(measured.results(rows), key=lambda result: (result.guard, result.subject)))


def recheck(
    items: Frame, changes: Frame, *, planned: Sequence[GuardResult], policies: Policies, engine: Engine, **kept: Any
) -> tuple[GuardResult, ...]:
    """`evaluate` on the approved part of a plan, with the populations that the plan was measured against.

    Takes `contacted` and `accepted` as `evaluate` does. An owner the plan did not know has no book, so the count alone
    limits what goes there.
    """
    populations = populations_of(planned)
    return evaluate(items, changes, populations=populations, policies=policies, engine=engine, **kept)


def populations_of(planned: Iterable[GuardResult]) -> Populations:
    """The populations behind results."""
    accounts: dict[str, int] = {}
    books: dict[tuple[str, str], int] = {}
    for result in planned:
        if result.guard == OWNER_CHANGES.guard:
            accounts[result.subject] = result.population
        elif result.guard in (OWNER_LOST.guard, OWNER_GAINED.guard):
            connection, user = result.subject.split(":", 1)
            books[connection, user] = result.population
    return Populations(accounts=accounts, books=books)


def breaches(results: Iterable[GuardResult]) -> tuple[GuardResult, ...]:
    """The results that stop a plan."""
    return tuple(result for result in results if result.breached)


def books_of(records: Frame, engine: Engine) -> dict[tuple[str, str], int]:
    """(connection, owner) -> live records owned now."""
    live = records.filter(~certain(nw.col("is_deleted")) & nw.col("merged_into").is_null() & ~nw.col("owner").is_null())
    owned = live.group_by("connection", "owner").agg(nw.len().cast(nw.Int64()).alias("records"))
    return {(row["connection"], row["owner"]): row["records"] for row in engine.rows(owned)}


# --- counting ---------------------------------------------------------------------------------------------------------


def _tallied(changes: Frame, policies: Policies) -> Frame:
    """Few rows: counts per connection, field and, for owners, per pair of owners."""
    is_owner = nw.col("field") == "owner"
    first = one_of(nw.col("state"), FIRST_CONTACT)
    clears = (nw.col("desired_kind") == "clear") & ~one_of(nw.col("field"), _may_clear(policies.conflicts))
    marked = changes.with_columns(
        from_user=nw.when(is_owner).then(nw.col("crm")),
        to_user=nw.when(is_owner).then(nw.col("desired")),
        _first=first,
        _clears=clears,
        _down=(nw.col("field") == "account_tier") & _is_downgrade(policies.tiers),
    )
    return marked.group_by("connection", "field", "from_user", "to_user").agg(
        count_where(nw.col("_first")).alias("first"),
        count_where(~nw.col("_first")).alias("known"),
        count_where(nw.col("_clears")).alias("clears"),
        count_where(nw.col("_down") & ~nw.col("_first")).alias("downgrades"),
    )


def _may_clear(conflicts: ConflictPolicy) -> set[str]:
    """The allow-list of the clears guard: fields whose policy empties them without asking."""
    return {name for name, policy in conflicts.fields.items() if policy.clear == "auto"}


def _is_downgrade(tiers: TierPolicy) -> Expr:
    """From a better tier to a worse one; a tier this policy does not know is neither."""
    order = [*[rule.id for rule in tiers.tiers], tiers.untiered]
    return certain(_position("desired", order) > _position("crm", order))


def _position(column: str, order: Sequence[str]) -> Expr:
    pairs = [(nw.col(column) == name, i) for i, name in enumerate(order)]
    return cases(pairs, nw.lit(None, dtype=nw.Int64()))


@dataclass(frozen=True, slots=True)
class _Measure:
    """The tallies held against the limits."""

    populations: Populations
    policies: Policies
    contacted: frozenset[str]
    accepted: frozenset[str]

    def results(self, rows: Sequence[Row]) -> Iterator[GuardResult]:
        connections = sorted({row["connection"] for row in rows} | set(self.populations.accounts))
        for connection in connections:
            own = [row for row in rows if row["connection"] == connection]
            yield from self._of_owners(connection, [row for row in own if row["field"] == "owner"])
            yield from self._of_fields(connection, own)
            yield from self._of_first_contact(connection, own)

    def _of_owners(self, connection: str, rows: Sequence[Row]) -> Iterator[GuardResult]:
        limits = self.policies.guards
        accounts = self.populations.accounts.get(connection, 0)
        moves = [row for row in rows if row["known"]]
        changed = sum(row["known"] for row in moves)
        yield self._result(OWNER_CHANGES, connection, changed, accounts, limits.owner_changes)
        yield self._result(OWNER_MOVES, connection, len(moves), accounts, limits.owner_moves)
        for user, count in _sums(moves, "from_user"):
            yield self._of_book(OWNER_LOST, connection, user, count, limits.owner_lost_by_rep)
        for user, count in _sums(moves, "to_user"):
            yield self._of_book(OWNER_GAINED, connection, user, count, limits.owner_gained_by_rep)
            subject = f"{connection}:{user}"
            yield self._result(ONE_OWNER, subject, count, accounts, limits.accounts_to_one_owner)

    def _of_book(self, rule: Rule, connection: str, user: str, count: int, limit: Limit) -> GuardResult:
        book = self.populations.books.get((connection, user), 0)
        return self._result(rule, f"{connection}:{user}", count, book, limit)

    def _of_fields(self, connection: str, rows: Sequence[Row]) -> Iterator[GuardResult]:
        limits = self.policies.guards
        accounts = self.populations.accounts.get(connection, 0)
        for name in sorted({row["field"] for row in rows if row["known"] and row["field"] != "owner"}):
            count = sum(row["known"] for row in rows if row["field"] == name)
            if name == "parent":
                yield self._result(PARENTS, connection, count, accounts, limits.parent_changes)
            else:
                yield self._result(ANY_FIELD, f"{connection}:{name}", count, accounts, limits.any_field)
        downgrades = sum(row["downgrades"] for row in rows)
        if downgrades:
            yield self._result(DOWNGRADES, connection, downgrades, accounts, limits.tier_downgrades)
        clears = sum(row["clears"] for row in rows)
        if clears:
            yield self._result(CLEARS, connection, clears, accounts, limits.clears)

    def _of_first_contact(self, connection: str, rows: Sequence[Row]) -> Iterator[GuardResult]:
        accounts = self.populations.accounts.get(connection, 0)
        for name in sorted({row["field"] for row in rows if row["first"]}):
            count = sum(row["first"] for row in rows if row["field"] == name)
            subject = f"{connection}:{name}"
            known = f"{FIRST.guard}:{subject}" in self.contacted
            limit = self.policies.guards.first_contact if known else Limit(count=0)
            yield self._result(FIRST, subject, count, accounts, limit)

    def _result(self, rule: Rule, subject: str, measured: int, population: int, limit: Limit) -> GuardResult:
        allowed = limit_of(limit, population)
        over = measured > allowed
        accepted = over and _is_accepted(f"{rule.guard}:{subject}", self.accepted)
        return GuardResult(
            guard=rule.guard,
            subject=subject,
            measured=measured,
            population=population,
            limit=allowed,
            breached=over and not accepted,
            message=_message(rule, subject, (measured, population, allowed), over=over, accepted=accepted),
        )


def limit_of(limit: Limit, population: int) -> int:
    """The larger of the count and the share, the share rounded down."""
    return max(limit.count, population * limit.share_bp // 10_000)


def _is_accepted(name: str, accepted: frozenset[str]) -> bool:
    parts = name.split(":")
    return any(":".join(parts[: i + 1]) in accepted for i in range(len(parts)))


def _sums(rows: Sequence[Row], column: str) -> list[tuple[str, int]]:
    totals: dict[str, int] = {}
    for row in rows:
        if row[column]:
            totals[row[column]] = totals.get(row[column], 0) + row["known"]
    return sorted(totals.items())


def _message(rule: Rule, subject: str, figures: tuple[int, int, int], *, over: bool, accepted: bool) -> str:
    measured, population, allowed = figures
    share = f" of {population:,} ({_percent(measured, population)})" if population else ""
    fact = f"{subject}: {measured:,}{share} {rule.unit}, limit {allowed:,}."
    if accepted:
        return f"{fact} Accepted for this plan."
    if not over:
        return fact
    return f"{fact} Nothing is written until somebody accepts {rule.guard}:{subject} for this plan; {rule.remedy}."


def _percent(measured: int, population: int) -> str:
    tenths = measured * 1000 // population
    return f"{tenths // 10}.{tenths % 10} %"
