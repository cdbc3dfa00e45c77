"""Records of who decides, by account: the authority feeds, and the confirmed fact `decision_authority`."""

from __future__ import annotations

from datetime import date, timedelta

import narwhals as nw
import pyarrow as pa

from mappings.structure_policy import AuthorityPolicy
from sync.engine import Engine, Frame
from sync.frames import cases, certain, conform, one_of, stack, text
from sync.hierarchy.stated import account_ids
from sync.world import AUTHORITY_FACTS, BOOL, INT, TEXT, Schema, World

RECORDS: Schema = {
    "org": TEXT,  # account the record is about
    "function": TEXT,  # CLINICAL, PROCUREMENT, IT, BUDGET, ALL
    "service_line": TEXT,  # or ALL
    "category": TEXT,  # or ALL
    "level": TEXT,  # SITE, REGION, SYSTEM, MSO, PLATFORM, GPO
    "holder": TEXT,  # account that decides; null = what the level says
    "delegates": BOOL,  # holds for the organisations below as well
    "spend_limit_cents": INT,
    "valid_from": TEXT,
    "valid_to": TEXT,
    "trust": INT,  # place of its source in the policy, 0 = first
    "confidence_bp": INT,
    "ref": TEXT,
    "in_force": BOOL,
    "is_expired": BOOL,
}
"""One row per record; those not in force are kept to be shown."""

LEVELS = ("SITE", "REGION", "SYSTEM", "MSO", "PLATFORM", "GPO")
SERVICE_LINES = ("ONCOLOGY", "CARDIOLOGY", "ORTHOPEDICS", "PRIMARY_CARE", "BEHAVIORAL_HEALTH")
_CERTAIN_BP = 10_000
_ENDS = pa.schema([*((name, pa.string()) for name in ("ref", "valid_from", "valid_to", "source", "end"))])


def authority_records(
    world: World, confirmed: Frame, ids: Frame | None, policy: AuthorityPolicy, as_of: str, engine: Engine
) -> Frame:
    """RECORDS of a world. `ids` maps the feeds' ids to accounts (`id`, `account_id`); None = no authority feed."""
    parts = [_from_facts(confirmed, as_of)]
    if world.authority_facts is not None and ids is not None:
        parts.append(_from_feed(world.authority_facts, ids, policy, as_of, engine))
    return engine.materialize(stack(parts).filter(one_of(nw.col("level"), LEVELS)))


def record_ids(world: World, links: Frame, stubs: Frame, engine: Engine) -> Frame | None:
    """`id`, `account_id` of everything the authority feeds name; None where none was delivered."""
    if world.authority_facts is None:
        return None
    named = [world.authority_facts.select(nw.col(name).alias("id")) for name in ("org_id", "holder_id")]
    ids = stack(named).filter(~nw.col("id").is_null()).unique()
    return engine.materialize(account_ids(ids, world, links, stubs, engine))


def _from_feed(facts: Frame, ids: Frame, policy: AuthorityPolicy, as_of: str, engine: Engine) -> Frame:
    ref = text(nw.col("feed"), ":", nw.col("file"), ":row ", nw.col("row").cast(TEXT))
    named = conform(facts, AUTHORITY_FACTS).with_columns(ref=ref)
    ends = engine.map_batches(_with_days(named, policy), make_ends, _ENDS).select("ref", "end")
    joined = (
        named.join(ends, on="ref", how="left")
        .join(ids.rename({"id": "org_id", "account_id": "org"}), on="org_id", how="inner")
        .join(ids.rename({"id": "holder_id", "account_id": "holder"}), on="holder_id", how="left")
    )
    ranks = [(nw.col("source") == source, place) for place, source in enumerate(policy.source_priority)]
    ended = certain(nw.col("end") <= as_of)
    started = nw.coalesce(nw.col("valid_from") <= as_of, nw.lit(value=True))
    return conform(
        joined.with_columns(
            valid_to=nw.col("end"),
            delegates=nw.coalesce(nw.col("delegates_down"), nw.col("level") != "SITE"),
            trust=cases(ranks, len(policy.source_priority)).cast(INT),
            confidence_bp=nw.coalesce("confidence_bp", nw.lit(_CERTAIN_BP)),
            in_force=started & ~ended,
            is_expired=ended,
        ),
        RECORDS,
    )


def _with_days(named: Frame, policy: AuthorityPolicy) -> Frame:
    days = [(nw.col("source") == source, str(number)) for source, number in sorted(policy.expires_days.items())]
    return named.select("ref", "valid_from", "valid_to", "source", cases(days, "").alias("days"))


def make_ends(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The last day of each record: its own, or so many days after its first as its source is believed."""
    columns = {name: batch.column(name).cast(pa.string()) for name in batch.schema.names}
    given = zip(*(columns[name].to_pylist() for name in ("valid_from", "valid_to", "days")), strict=True)
    columns["end"] = pa.array([end or _added(start, days) for start, end, days in given], pa.string())
    return pa.RecordBatch.from_arrays([columns[field.name] for field in _ENDS], schema=_ENDS)


def _added(start: str | None, days: str | None) -> str | None:
    return (date.fromisoformat(start) + timedelta(days=int(days))).isoformat() if start and days else None


def _from_facts(confirmed: Frame, as_of: str) -> Frame:
    """The confirmed fact: a steward's word on the organisation itself; its category is a service line or a category."""
    said = confirmed.filter(nw.col("fact") == "decision_authority")
    about = nw.coalesce("category", nw.lit("")).str.to_uppercase()
    is_line = one_of(about, SERVICE_LINES)
    other = ~is_line & (about != "")
    level = nw.col("value").str.to_uppercase()
    return conform(
        said.with_columns(
            org=nw.col("account_id"),
            function=nw.lit("ALL"),
            service_line=nw.when(is_line).then(about).otherwise(nw.lit("ALL")),
            category=nw.when(other).then(nw.col("category").str.to_lowercase()).otherwise(nw.lit("ALL")),
            level=level,
            delegates=level != "SITE",
            trust=nw.lit(0),
            confidence_bp=nw.lit(_CERTAIN_BP),
            ref=nw.col("fact_source"),
            in_force=certain(nw.col("in_force")),
            is_expired=certain(nw.col("valid_to") <= as_of),
        ),
        RECORDS,
    )
