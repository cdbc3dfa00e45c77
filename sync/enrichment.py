"""Golden accounts: one row per organisation, each field from the best source that has it, with its place.

Candidates of a field in order: what a person entered in a CRM (protected fields), then the sources in order of trust
as far as their value has not expired, then the expired ones. A vendor that says "there is none" ends the list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import combinations

import narwhals as nw

from mappings.canonical import ACCOUNT, FIRM
from mappings.policy import SurvivorshipPolicy
from sync.engine import Engine, Frame
from sync.frames import certain, conform, lists, null, one_of, possible, stack, text
from sync.identity.parties import live
from sync.world import BOOL, FIRMS, RECORDS, TEXT, Schema, World

SHARED: tuple[str, ...] = tuple(f.name for f in ACCOUNT if not f.managed)
"""Fields that CRM records have; firms share most of them. Each has a `<field>__source` column."""

_FIRM_OWN: tuple[str, ...] = tuple(
    f.name for f in FIRM if f.name not in SHARED and f.name != "firm_id" and not f.name.startswith("idn_")
)

ACCOUNTS: Schema = {
    "account_id": TEXT,
    **{name: RECORDS[name] for name in SHARED},
    **{f"{name}__source": TEXT for name in SHARED},
    **{name: FIRMS[name] for name in _FIRM_OWN},
    "firm_feed": TEXT,
    "firm_id": TEXT,
    "firm_source": TEXT,
}
"""One row per account. A source reads `definitive:file.csv:row 12` or `salesforce:001...`; `firm_source` is the source
of all fields that only vendors have. Unknown is null."""

DISAGREES, EXPIRED = "disagrees__", "expired__"
"""Prefixes of the columns of `Enriched.doubts`, before the name of a field."""

_VENDOR = "definitive"  # the feeds whose firm id is the vendor id that CRMs keep begin with it
_DATED = "value_date"
_FRESH = "|fresh"  # ends the name of a column of values that have not expired


@dataclass(frozen=True, slots=True, kw_only=True)
class Enriched:
    """Golden accounts and what is doubtful about them."""

    accounts: Frame  # ACCOUNTS
    doubts: Frame  # account_id, and per compared field DISAGREES, per field that expires EXPIRED; true or false


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One way to a value: null where it does not lead to one."""

    value: nw.Expr
    ref: str  # column that names the row
    ends: nw.Expr | None = None  # true where this source says that there is no value


def enrich(world: World, links: Frame, policy: SurvivorshipPolicy, engine: Engine, as_of: str = "") -> Frame:
    """ACCOUNTS of a world, one row per account of LINKS. Without a date nothing expires."""
    return enrich_with_doubts(world, links, policy, engine, as_of).accounts


def enrich_with_doubts(
    world: World, links: Frame, policy: SurvivorshipPolicy, engine: Engine, as_of: str = ""
) -> Enriched:
    """The golden accounts with the fields in which sources disagree, or whose best value has expired."""
    tables = _tables(world, policy, engine)
    accounts = _side_by_side(links, tables, engine)
    book = _Book(policy, tuple(tables), frozenset(_columns(accounts)), as_of)
    accounts = book.with_fresh(accounts)
    golden = [expr for name in SHARED for expr in (book.golden(name), book.provenance(name).alias(f"{name}__source"))]
    own = [book.golden(name) for name in (*_FIRM_OWN, "firm_feed", "firm_id", "firm_source")]
    chosen = engine.materialize(accounts.select("account_id", *golden, *own, *book.doubts()))
    flags = [name for name in _columns(chosen) if name.startswith((DISAGREES, EXPIRED))]
    return Enriched(accounts=conform(chosen, ACCOUNTS), doubts=chosen.select("account_id", *flags))


class _Book:
    """The columns `source|field` of the joined sources, as candidates of each field."""

    def __init__(
        self, policy: SurvivorshipPolicy, sources: tuple[str, ...], present: frozenset[str], as_of: str
    ) -> None:
        self._policy, self._sources, self._present, self._as_of = policy, sources, present, as_of

    def golden(self, field: str) -> nw.Expr:
        """The value of the first candidate that has one."""
        candidates = self._candidates(field)
        if not candidates:
            return null({**RECORDS, **FIRMS, **ACCOUNTS}[field]).alias(field)
        if all(candidate.ends is None for candidate in candidates):
            return nw.coalesce(*(candidate.value for candidate in candidates)).alias(field)
        dtype = {**RECORDS, **FIRMS, **ACCOUNTS}[field]
        expr = null(dtype)
        for one in reversed(candidates):
            rest = expr if one.ends is None else nw.when(certain(one.ends)).then(null(dtype)).otherwise(expr)
            expr = nw.when(~one.value.is_null()).then(one.value).otherwise(rest)
        return expr.alias(field)

    def provenance(self, field: str) -> nw.Expr:
        """The row that gave the value, or that says there is none."""
        found = [
            nw.when(~one.value.is_null() if one.ends is None else ~one.value.is_null() | certain(one.ends)).then(
                nw.col(one.ref)
            )
            for one in self._candidates(field)
        ]
        return nw.coalesce(*found) if found else null(TEXT)

    def with_fresh(self, accounts: Frame) -> Frame:
        """The accounts with a column for every value that may expire: null where it has."""
        limits = {
            (source, name): self._limit(source, name) for source in self._sources for name in (*SHARED, *_FIRM_OWN)
        }
        mortal = {key: limit for key, limit in limits.items() if limit and "|".join(key) in self._present}
        if not mortal:
            return accounts
        flags = sorted({(source, limit) for (source, _), limit in mortal.items()})
        young = [possible(nw.col(f"{source}|{_DATED}") >= limit).alias(f"{source}|{limit}") for source, limit in flags]
        fresh = [
            nw.when(nw.col(f"{source}|{limit}")).then(nw.col(f"{source}|{name}")).alias(f"{source}|{name}{_FRESH}")
            for (source, name), limit in mortal.items()
        ]
        return accounts.with_columns(*young).with_columns(*fresh)

    def doubts(self) -> list[nw.Expr]:
        """Flags of the compared fields and of those that expire."""
        compared = [self._disagrees(name) for name in self._policy.compare]
        expiring = sorted({name.rpartition(".")[2] for name in self._policy.ttl_days}) if self._as_of else []
        return [*compared, *(self._has_expired(name) for name in expiring)]

    def _candidates(self, field: str) -> list[_Candidate]:
        having = [source for source in self._order(field) if f"{source}|{field}" in self._present]
        by_person = [self._entered(source, field) for source in having if self._is_protected(source, field)]
        mortal = [source for source in having if self._limit(source, field)]
        found = [self._candidate(source, field, self._fresh(source, field)) for source in having]
        late = (
            []
            if self._policy.expired == "drop"
            else [self._candidate(source, field, nw.col(f"{source}|{field}")) for source in mortal]
        )
        return [*by_person, *found, *late]

    def _candidate(self, source: str, field: str, value: nw.Expr) -> _Candidate:
        ends = None
        if f"{source}|cleared" in self._present:
            ends = lists(nw.col(f"{source}|cleared"), field)
        return _Candidate(value, f"{source}|ref", ends)

    def _fresh(self, source: str, field: str) -> nw.Expr:
        """The value where it has not expired."""
        return nw.col(f"{source}|{field}{_FRESH if self._limit(source, field) else ''}")

    def _entered(self, source: str, field: str) -> _Candidate:
        value = nw.when(certain(nw.col(f"{source}|{field}__by_person"))).then(nw.col(f"{source}|{field}"))
        return _Candidate(value, f"{source}|ref")

    def _is_protected(self, source: str, field: str) -> bool:
        return f"{source}|{field}__by_person" in self._present

    def _limit(self, source: str, field: str) -> str | None:
        """The first day whose value has not expired."""
        days = self._policy.ttl_days.get(f"{source}.{field}", self._policy.ttl_days.get(field))
        if not self._as_of or days is None or f"{source}|{_DATED}" not in self._present:
            return None
        return (date.fromisoformat(self._as_of) - timedelta(days=days)).isoformat()

    def _disagrees(self, field: str) -> nw.Expr:
        names = [f"{source}|{field}" for source in self._order(field) if f"{source}|{field}" in self._present]
        if len(names) < 2:
            return nw.lit(value=False).alias(f"{DISAGREES}{field}")
        tolerance = self._policy.tolerance_bp.get(field, 0)
        if tolerance:  # as real numbers: cents times basis points pass 64 bits
            low, high = nw.min_horizontal(*names), nw.max_horizontal(*names)
            apart = (high - low).cast(nw.Float64()) * 10_000 > high.cast(nw.Float64()) * tolerance
        else:
            pairs = (nw.col(name) != nw.col(other) for name, other in combinations(names, 2))
            apart = nw.any_horizontal(*pairs, ignore_nulls=False)
        return certain(apart).alias(f"{DISAGREES}{field}")

    def _has_expired(self, field: str) -> nw.Expr:
        """True where there is a value, and none that has not expired."""
        having = [source for source in self._order(field) if f"{source}|{field}" in self._present]
        name = f"{EXPIRED}{field}"
        if not having:
            return nw.lit(value=False).alias(name)
        fresh = nw.coalesce(*(self._fresh(source, field) for source in having))
        anything = nw.coalesce(*(nw.col(f"{source}|{field}") for source in having))
        return (fresh.is_null() & ~anything.is_null()).alias(name)

    def _order(self, field: str) -> tuple[str, ...]:
        first = [source for source in self._policy.fields.get(field, ()) if source in self._sources]
        return (*first, *(source for source in self._sources if source not in first))


def _tables(world: World, policy: SurvivorshipPolicy, engine: Engine) -> dict[str, Frame]:
    """Per source, in the default order of trust, its rows: `source|source_id`, `source|ref` naming the row, and so on.

    Whether the vendor ever says that there is no value is asked once: most never do.
    """
    firms = world.firms.with_columns(
        text(nw.col("feed"), ":", nw.col("file"), ":row ", nw.col("row").cast(nw.String())).alias("ref"),
        nw.col("firm_id").alias("source_id"),
        nw.when(nw.col("feed").str.starts_with(_VENDOR)).then(nw.col("firm_id")).alias("definitive_id"),
        nw.coalesce(nw.col("updated_on"), nw.col("as_of")).alias(_DATED),
    ).with_columns(nw.col("ref").alias("firm_source"), nw.col("feed").alias("firm_feed"))
    records, entered = _with_entries(world, policy, engine)
    records = records.with_columns(
        text(nw.col("connection"), ":", nw.col("record_id")).alias("ref"),
        nw.col("record_id").alias("source_id"),
        nw.col("modified_at").str.slice(0, 10).alias(_DATED),
    )
    feeds = world.firms.select(nw.col("feed").alias("source"), (~nw.col("cleared").is_null()).alias("clears")).unique()
    crms = world.records.select(nw.col("connection").alias("source"), null(BOOL).alias("clears")).unique()
    there = list(engine.rows(stack([feeds, crms])))
    shared_by_firms = [name for name in SHARED if name in (*FIRMS, "definitive_id")]
    clears = ["cleared"] if any(row["clears"] for row in there) else []
    of_firms = ["ref", _DATED, *clears, *shared_by_firms, *_FIRM_OWN, "firm_feed", "firm_id", "firm_source"]
    of_records = ["ref", _DATED, *SHARED, *entered]
    tables = {row["source"]: (firms, "feed", of_firms) for row in there if row["clears"] is not None}
    tables |= {row["source"]: (records, "connection", of_records) for row in there if row["clears"] is None}
    return {source: _rows_of(source, *tables[source]) for source in _all_sources(policy, tuple(tables))}


def _rows_of(source: str, frame: Frame, column: str, wanted: list[str]) -> Frame:
    rows = frame.filter(nw.col(column) == source).select("source_id", *wanted)
    return rows.rename({name: f"{source}|{name}" for name in ("source_id", *wanted)})


def _side_by_side(links: Frame, tables: Mapping[str, Frame], engine: Engine) -> Frame:
    """One row per account, with the columns of its row in each source: the one with the lowest id where it has several.

    Accounts are gathered around the rows of the first source, in their order: rows of many columns are slow to move.
    """
    if not tables:
        return links.select("account_id").unique()
    keys = {source: f"{source}|source_id" for source in tables}
    named = [nw.when(nw.col("source") == source).then(nw.col("source_id")).alias(key) for source, key in keys.items()]
    members = (
        links.select("account_id", *named).group_by("account_id").agg(*(nw.col(key).min() for key in keys.values()))
    )
    members = engine.materialize(members)
    first, *others = tables
    held = tables[first].join(members, on=keys[first], how="inner")
    lacking = members.join(tables[first].select(keys[first]), on=keys[first], how="anti")
    accounts = nw.concat([held, lacking], how="diagonal")
    for source in others:
        accounts = accounts.join(tables[source], on=keys[source], how="left")
    return accounts


def _with_entries(world: World, policy: SurvivorshipPolicy, engine: Engine) -> tuple[Frame, list[str]]:
    """Live records, and per protected field that a person ever changed a column `<field>__by_person`."""
    records = live(world.records)
    changes = world.field_changes.filter(one_of(nw.col("field"), policy.protected))
    if not engine.count(changes.head(1)):
        return records, []
    is_human = certain(nw.col("actor_kind") == "human")
    sums = [
        expr
        for name in policy.protected
        for expr in (
            nw.when(nw.col("field") == name).then(nw.col("changed_at")).max().alias(f"{name}__last"),
            nw.when((nw.col("field") == name) & is_human).then(nw.col("changed_at")).max().alias(f"{name}__human"),
        )
    ]
    latest = changes.group_by("connection", "record_id").agg(*sums)
    flags = [f"{name}__by_person" for name in policy.protected]
    entries = latest.select(
        "connection",
        "record_id",
        *(certain(nw.col(f"{n}__human") == nw.col(f"{n}__last")).alias(f"{n}__by_person") for n in policy.protected),
    )
    return records.join(engine.materialize(entries), on=["connection", "record_id"], how="left"), flags


def _all_sources(policy: SurvivorshipPolicy, present: tuple[str, ...]) -> list[str]:
    """Present sources in the default order of trust; those the policy does not name come last, by name."""
    named = [source for source in policy.default if source in present]
    return [*named, *sorted(set(present) - set(named))]


def _columns(frame: Frame) -> list[str]:
    return list(frame.collect_schema().names())
