"""Golden accounts: one row per organisation, each field from the most trusted source that has it, with its place."""

from __future__ import annotations

import narwhals as nw

from mappings.canonical import ACCOUNT, FIRM
from mappings.policy import SurvivorshipPolicy
from sync.engine import Engine, Frame
from sync.frames import conform, lowest_by, text
from sync.identity.parties import live
from sync.world import FIRMS, RECORDS, TEXT, Schema, World

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


def enrich(world: World, links: Frame, policy: SurvivorshipPolicy, engine: Engine) -> Frame:
    """ACCOUNTS of a world, one row per account of LINKS."""
    members = _members(world, links, policy, engine)
    accounts = links.select("account_id").unique()
    for source, frame in members.items():
        renamed = {name: f"{source}|{name}" for name in _columns(frame) if name != "account_id"}
        accounts = accounts.join(frame.rename(renamed), on="account_id", how="left")
    present = set(_columns(accounts))
    golden = [_golden(name, _order(policy, name, tuple(members)), present) for name in SHARED]
    provenance = [_provenance(name, _order(policy, name, tuple(members)), present) for name in SHARED]
    own = [_golden(name, tuple(members), present) for name in (*_FIRM_OWN, "firm_feed", "firm_id", "firm_source")]
    chosen = accounts.select("account_id", *(e for e in (*golden, *provenance, *own) if e is not None))
    return engine.materialize(conform(chosen, ACCOUNTS))


def _members(world: World, links: Frame, policy: SurvivorshipPolicy, engine: Engine) -> dict[str, Frame]:
    """Per source the rows that belong to accounts, one per account, with `ref` naming the row."""
    firms = world.firms.with_columns(
        text(nw.col("feed"), ":", nw.col("file"), ":row ", nw.col("row").cast(nw.String())).alias("ref"),
        nw.col("feed").alias("source"),
        nw.col("firm_id").alias("source_id"),
        nw.col("firm_id").alias("definitive_id"),
    ).with_columns(nw.col("ref").alias("firm_source"), nw.col("feed").alias("firm_feed"))
    records = live(world.records).with_columns(
        text(nw.col("connection"), ":", nw.col("record_id")).alias("ref"),
        nw.col("connection").alias("source"),
        nw.col("record_id").alias("source_id"),
    )
    shared_by_firms = [name for name in SHARED if name in (*FIRMS, "definitive_id")]
    wanted_firms = ["ref", *shared_by_firms, *_FIRM_OWN, "firm_feed", "firm_id", "firm_source"]
    wanted_records = ["ref", *SHARED]
    feeds = {row["feed"]: (firms, wanted_firms) for row in engine.rows(world.firms.select("feed").unique())}
    crms = {
        row["connection"]: (records, wanted_records) for row in engine.rows(world.records.select("connection").unique())
    }
    tables = {**feeds, **crms}
    return {source: _linked(*tables[source], source, links) for source in _all_sources(policy, tuple(tables))}


def _linked(frame: Frame, wanted: list[str], source: str, links: Frame) -> Frame:
    own_links = links.filter(nw.col("source") == source).select("source_id", "account_id")
    mine = frame.filter(nw.col("source") == source).join(own_links, on="source_id", how="inner")
    return lowest_by(mine, ["account_id"], "source_id").select("account_id", *wanted)


def _all_sources(policy: SurvivorshipPolicy, present: tuple[str, ...]) -> list[str]:
    """Present sources in the default order of trust; those the policy does not name come last, by name."""
    named = [source for source in policy.default if source in present]
    return [*named, *sorted(set(present) - set(named))]


def _order(policy: SurvivorshipPolicy, field: str, sources: tuple[str, ...]) -> tuple[str, ...]:
    first = [source for source in policy.fields.get(field, ()) if source in sources]
    return (*first, *(source for source in sources if source not in first))


def _golden(field: str, sources: tuple[str, ...], present: set[str]) -> nw.Expr | None:
    columns = [f"{source}|{field}" for source in sources if f"{source}|{field}" in present]
    return nw.coalesce(*columns).alias(field) if columns else None


def _provenance(field: str, sources: tuple[str, ...], present: set[str]) -> nw.Expr | None:
    having = [source for source in sources if f"{source}|{field}" in present]
    if not having:
        return None
    expr = nw.lit(None, dtype=nw.String())
    for source in reversed(having):
        missing = nw.col(f"{source}|{field}").is_null()
        expr = nw.when(missing).then(expr).otherwise(nw.col(f"{source}|ref"))
    return expr.alias(f"{field}__source")


def _columns(frame: Frame) -> list[str]:
    return list(frame.collect_schema().names())
