"""Limits of one plan: how much may change at once before a second look is needed.

Measured over any set of items: over the plan, and again over the approved part of it just before a write. First
contact (a fill, or a takeover of a value that was never agreed) is a class of its own: nothing of it passes until a
named person accepts that connection and field once; later plans measure it like the rest. What was written by other
plans in the last day and week counts as well, first contact left out: many small plans are one large one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import narwhals as nw

from mappings.guard_policy import Window
from mappings.policy import ConflictPolicy, Limit, Policies, TierPolicy
from sync.engine import Engine, Frame
from sync.frames import Expr, certain, conform, count_where, null, one_of, text
from sync.planning.alarms import Circumstances, alarms
from sync.planning.limits import (
    ANY_FIELD,
    CLEARS,
    DOWNGRADES,
    FIRST,
    NAMED,
    ONE_OWNER,
    OWNER_CHANGES,
    OWNER_GAINED,
    OWNER_LOST,
    OWNER_MOVES,
    PARENTS,
    Rule,
    judged,
    label_of,
    limit_of,
    summed,
)
from sync.planning.threeway import State
from sync.world import CHANGES, GuardResult

Row = Mapping[str, Any]

FIRST_CONTACT = frozenset({State.FILL, State.TAKEOVER})

UNDO_RULE = "undo:"
"""Beginning of the rule id of a value that undoes one; the run follows."""

NAMED_FIELDS = ("owner", "parent")
"""Fields of a named account that are its own limit's business: its tier may change like any other's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Populations:
    """What shares are taken of."""

    accounts: Mapping[str, int]  # connection -> managed records
    books: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (connection, user) -> records owned now


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
    around: Circumstances | None = None,
    engine: Engine,
) -> tuple[GuardResult, ...]:
    """Every limit measured over the changes of these items, sorted by guard and subject.

    `contacted` are first-contact guards accepted for good (World.accepted_guards); `accepted` are guard ids, or
    prefixes of them ending at a colon, accepted for the digest of this very plan.
    """
    beside = around or Circumstances()
    counted = changes.join(items.select("item_id"), on="item_id", how="semi")
    tally = _Tally(policies, beside.named, engine)
    rows = tally.of(counted)
    if beside.own is not None:
        rows = _merged([*rows, *tally.of(_as_changes(beside.own))])
    measure = _Measure(populations, policies, frozenset(contacted), frozenset(accepted))
    found = list(measure.results(rows))
    if beside.moves is not None:
        found += _in_windows(found, rows, _not_undone(beside.moves, counted, engine), tally, measure)
    found += alarms(_writes(counted, engine), policies.guards, beside, frozenset(accepted))
    return tuple(sorted(found, key=lambda result: (result.guard, result.subject)))


def recheck(
    items: Frame, changes: Frame, *, planned: Sequence[GuardResult], policies: Policies, engine: Engine, **kept: Any
) -> tuple[GuardResult, ...]:
    """`evaluate` on the approved part of a plan, with the populations that the plan was measured against.

    Takes `contacted`, `accepted` and `around` as `evaluate` does. An owner the plan did not know has no book, so the
    count alone limits what goes there.
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

_PAIR = ("connection", "field", "from_user", "to_user")
_COUNTS = ("first", "known", "clears", "downgrades", "named")


@dataclass(frozen=True, slots=True)
class _Tally:
    """Counts changes into few rows: per connection, field and, for owners, per pair of owners."""

    policies: Policies
    named: frozenset[str]
    engine: Engine

    def of(self, changes: Frame) -> list[dict[str, Any]]:
        """One row per pair, in no order."""
        c = nw.col
        is_owner = c("field") == "owner"
        marked = changes.with_columns(
            from_user=nw.when(is_owner).then(c("crm")),
            to_user=nw.when(is_owner).then(c("desired")),
            _first=one_of(c("state"), FIRST_CONTACT),
            _clears=(c("desired_kind") == "clear") & ~one_of(c("field"), _may_clear(self.policies.conflicts)),
            _down=(c("field") == "account_tier") & _is_downgrade(self.policies.tiers),
            _named=one_of(c("field"), NAMED_FIELDS) & self._is_named(),
        )
        grouped = marked.group_by(*_PAIR).agg(
            count_where(c("_first")).alias("first"),
            count_where(~c("_first")).alias("known"),
            count_where(c("_clears")).alias("clears"),
            count_where(c("_down") & ~c("_first")).alias("downgrades"),
            count_where(c("_named") & ~c("_first")).alias("named"),
        )
        return [dict(row) for row in self.engine.rows(grouped)]

    def _is_named(self) -> Expr:
        if not self.named:
            return nw.lit(value=False)
        record = nw.col("record_id")
        by_account, by_record = one_of(nw.col("account_id"), self.named), one_of(record, self.named)
        return by_account | by_record | one_of(text(nw.col("connection"), ":", record), self.named)


def _may_clear(conflicts: ConflictPolicy) -> set[str]:
    """The allow-list of the clears guard: fields whose policy empties them without asking."""
    return {name for name, policy in conflicts.fields.items() if policy.clear == "auto"}


def _is_downgrade(tiers: TierPolicy) -> Expr:
    """From a better tier to a worse one; a tier this policy does not know is neither."""
    order = [*[rule.id for rule in tiers.tiers], tiers.untiered]
    return certain(_position("desired", order) > _position("crm", order))


def _position(column: str, order: Sequence[str]) -> Expr:
    places = {name: place for place, name in reversed(list(enumerate(order)))}
    return nw.col(column).replace_strict(places, default=null(nw.Int64()), return_dtype=nw.Int64())


def _as_changes(moves: Frame) -> Frame:
    """MOVES in the columns of CHANGES that are counted."""
    kind = nw.when(nw.col("new").is_null()).then(nw.lit("clear")).otherwise(nw.lit("value"))
    return conform(moves.with_columns(crm=nw.col("old"), desired=nw.col("new"), desired_kind=kind), CHANGES)


def _merged(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """One row per pair, its counts added up: a book that moves in two steps is one move."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        key = tuple(row[name] for name in _PAIR)
        known = found.setdefault(key, {**row, **dict.fromkeys(_COUNTS, 0)})
        for name in _COUNTS:
            known[name] += row[name]
    return list(found.values())


def _writes(changes: Frame, engine: Engine) -> dict[str, int]:
    """Items that would be written, by connection."""
    items = changes.select("connection", "item_id").unique()
    rows = engine.rows(items.group_by("connection").agg(nw.len().cast(nw.Int64()).alias("items")))
    return {row["connection"]: row["items"] for row in rows}


# --- sums over plans --------------------------------------------------------------------------------------------------


def _not_undone(moves: Frame, changes: Frame, engine: Engine) -> Frame:
    """The moves without those of runs that these changes take back: a move and its undoing are not two."""
    rules = changes.filter(certain(nw.col("rule_id").str.starts_with(UNDO_RULE))).select("rule_id").unique()
    undone = {row["rule_id"].removeprefix(UNDO_RULE) for row in engine.rows(rules)}
    return moves.filter(~one_of(nw.col("run_id"), undone))


def _in_windows(
    plain: Sequence[GuardResult], rows: Sequence[Row], moves: Frame, tally: _Tally, measure: _Measure
) -> Iterator[GuardResult]:
    """What the plan adds to, summed with what other plans moved; only where they moved something of the kind.

    A limit of nothing at all needs no sum.
    """
    own = {(one.guard, one.subject): one for one in plain if one.measured and one.limit}
    for window in measure.policies.guards.windows:
        recent = tally.of(_as_changes(moves.filter(nw.col("age_min") < window.hours * 60)))
        earlier = [{**row, "first": 0} for row in recent]
        whole = replace(measure, window=window)
        for result in whole.results(_merged([*rows, *earlier])):
            alone = own.get((result.guard.removesuffix(f"_{label_of(window.hours)}"), result.subject))
            if alone is not None and result.measured > alone.measured:
                yield result


# --- measuring --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Measure:
    """The tallies held against the limits."""

    populations: Populations
    policies: Policies
    contacted: frozenset[str]
    accepted: frozenset[str]
    window: Window | None = None  # measured is what moved in it, all plans together

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
        named = sum(row["named"] for row in rows)
        if named:
            yield self._result(NAMED, connection, named, accounts, limits.named_accounts)

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
        if self.window is not None:
            rule = summed(rule, self.window.hours)
            allowed *= self.window.times
        return judged(rule, subject, measured, population=population, limit=allowed, accepted=self.accepted)


def _sums(rows: Sequence[Row], column: str) -> list[tuple[str, int]]:
    totals: dict[str, int] = {}
    for row in rows:
        if row[column]:
            totals[row[column]] = totals.get(row[column], 0) + row["known"]
    return sorted(totals.items())
