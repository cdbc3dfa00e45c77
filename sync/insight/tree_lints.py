"""Lints of the hierarchy: stale, late, circular, contested, or built on what owns nobody."""

from __future__ import annotations

from collections import defaultdict

import narwhals as nw

from sync.engine import Engine
from sync.frames import certain
from sync.identity.parties import live
from sync.insight.lint import Level, Lint, Looked, Row
from sync.insight.standing import days_between
from sync.segmentation.classify import own_kind
from sync.world import INT

_GROUP_NAMES = "vizient|premier inc|healthtrust|intalere|medassets|group purchasing"


# --- FM3: a stale hierarchy -------------------------------------------------------------------------------------------


def stale(looked: Looked, engine: Engine) -> Lint:
    """Systems whose least recently verified member was looked at too long ago."""
    found, knobs = looked.found, looked.mappings.policies.kpis
    firms = found.world.firms.select(
        nw.col("feed").alias("source"), nw.col("firm_id").alias("source_id"), nw.col("as_of").alias("verified_on")
    )
    verified = (
        found.links.join(firms, on=["source", "source_id"], how="inner")
        .group_by("account_id")
        .agg(nw.col("verified_on").max())
    )
    table = looked.standing.select("account_id", "system_account_id", "system_name").join(
        verified, on="account_id", how="inner"
    )
    oldest = table.group_by("system_account_id", "system_name").agg(
        nw.col("verified_on").min(), nw.len().cast(INT).alias("members")
    )
    dates = sorted(
        {row["verified_on"] for row in engine.rows(oldest.select("verified_on").unique()) if row["verified_on"]}
    )
    late = {day: age for day in dates if (age := days_between(day, found.as_of) or 0) > knobs.stale_days}
    rows = tuple(
        {
            "subject": row["system_account_id"],
            "system": row["system_name"],
            "members": row["members"],
            "verified_on": row["verified_on"],
            "age_days": late[row["verified_on"]],
        }
        for row in sorted(engine.rows(oldest), key=lambda row: row["system_account_id"])
        if row["verified_on"] in late
    )
    level = Level.ERROR if any(row["age_days"] > knobs.stale_error_days for row in rows) else Level.WARN
    return Lint(
        id="FM3-STALE",
        level=level,
        title="Systems whose hierarchy was verified too long ago",
        rows=rows,
        fix="platbook feeds take FILE with a newer delivery, then platbook plan",
    )


def sla(looked: Looked, engine: Engine) -> Lint:
    """Ownership changes that took longer than the deadline to reach the CRM."""
    names = ("connection", "account_id", "effective_from", "first_seen", "applied_on", "latency_days", "note")
    rows = tuple({"subject": row["record_id"], **{name: row[name] for name in names}} for row in looked.late)
    return Lint(
        id="FM3-SLA",
        level=Level.ERROR,
        title="Ownership changes past their deadline",
        rows=rows,
        fix="platbook plan && platbook apply",
    )


# --- authority and hierarchy ------------------------------------------------------------------------------------------


def authority(looked: Looked, engine: Engine) -> Lint:
    """First-tier accounts whose decider nobody confirmed."""
    rows = tuple({"subject": row["account_id"], **row} for row in looked.unknown_authority)
    return Lint(
        id="AUTH-UNKNOWN",
        level=Level.WARN,
        title="First-tier accounts whose decider is only assumed",
        rows=rows,
        fix="confirm who decides in an authority feed: platbook feeds take authority.csv",
    )


def cycles(looked: Looked, engine: Engine) -> Lint:
    """Organisations that are each other's parents."""
    return _from_problems(looked, "PARENT-CYCLE", Level.ERROR, "Organisations that are each other's parents")


def no_control(looked: Looked, engine: Engine) -> Lint:
    """Organisations that no parent controls."""
    return _from_problems(looked, "NO-CONTROL", Level.WARN, "Organisations that no parent controls")


def _from_problems(looked: Looked, code: str, level: Level, title: str) -> Lint:
    rows = tuple(
        {"subject": one.refs[0] if one.refs else one.subject, "about": one.subject, "fact": one.fact}
        for one in looked.problems
        if one.code == code
    )
    return Lint(
        id=code,
        level=level,
        title=title,
        rows=rows,
        fix="state the parent in an edges feed: platbook feeds take edges.csv",
    )


def group_as_parent(looked: Looked, engine: Engine) -> Lint:
    """Records whose parent in the CRM is a purchasing group, a care organisation or an investor: they own nobody."""
    found = looked.found
    links = found.links.select(
        nw.col("source").alias("connection"), nw.col("source_id").alias("record_id"), "account_id"
    )
    kinds = found.accounts.select("account_id", own_kind().alias("kind"))
    parents = live(found.world.records).select(
        "connection", nw.col("record_id").alias("parent"), nw.col("name").alias("parent_name")
    )
    linked = links.rename({"record_id": "parent", "account_id": "parent_account"})
    kind_of = kinds.rename({"account_id": "parent_account"})
    children = live(found.world.records).select("connection", "record_id", "name", "parent")
    table = (
        children.filter(~nw.col("parent").is_null())
        .join(parents, on=["connection", "parent"], how="inner")
        .join(linked, on=["connection", "parent"], how="left")
        .join(kind_of, on="parent_account", how="left")
    )
    named = certain(nw.col("parent_name").str.to_lowercase().str.contains(_GROUP_NAMES))
    wrong = certain(nw.col("kind").is_in(["GPO", "ACO", "CIN", "PHO", "INVESTOR"])) | named
    rows = sorted(
        engine.rows(table.filter(wrong).select("connection", "record_id", "name", "parent_name", "kind")),
        key=lambda row: (row["connection"], row["record_id"]),
    )
    return Lint(
        id="GPO-AS-PARENT",
        level=Level.ERROR,
        title="A purchasing group, care organisation or investor as the parent",
        rows=tuple({"subject": row["record_id"], **row} for row in rows),
        fix="platbook plan && platbook show --where 'group=hierarchy', then platbook approve",
    )


def duplicates(looked: Looked, engine: Engine) -> Lint:
    """One organisation with several records in one CRM."""
    found = looked.found
    records = live(found.world.records).select(
        nw.col("connection").alias("source"), nw.col("record_id").alias("source_id")
    )
    own = found.links.join(records, on=["source", "source_id"], how="semi")
    several = own.with_columns(n=nw.len().over("account_id", "source")).filter(nw.col("n") > 1)
    names = found.accounts.select("account_id", "name")
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in engine.rows(several.join(names, on="account_id", how="left")):
        groups[row["account_id"], row["source"]].append(row)
    rows = tuple(
        {
            "subject": account,
            "connection": source,
            "name": listed[0]["name"],
            "records": ", ".join(sorted(row["source_id"] for row in listed)),
        }
        for (account, source), listed in sorted(groups.items())
    )
    return Lint(
        id="DUP-ORG",
        level=Level.WARN,
        title="One organisation, several records in one CRM",
        rows=rows,
        fix="merge the records in the CRM, then platbook pull",
    )
