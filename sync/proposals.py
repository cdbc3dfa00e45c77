"""Desired values: what every CRM record should say, with the rule and the facts behind each value.

A field that nothing is known about abstains: it is left alone, never emptied. Two records of one account in one CRM are
wanted to say the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import narwhals as nw

from mappings.policy import Policies
from sync.engine import Engine, Frame
from sync.frames import Expr, cases, certain, null, text
from sync.hierarchy.native import SEVERAL, native_parents
from sync.identity.contest import OpenPair
from sync.identity.parties import live
from sync.problem import Problem
from sync.segmentation.tiers import json_text
from sync.structure import Structure
from sync.territory.people import native_users
from sync.territory.routing import route, routing_facts, with_motion, with_routing_facts
from sync.world import TEXT, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What the stages found out, each one row per account unless it says otherwise."""

    links: Frame  # one row per record and firm
    accounts: Frame
    hierarchy: Frame
    tiers: Frame
    facts: Frame  # bounds of the facts, one row per deciding organisation
    ownership: Frame
    events: Frame  # only accounts that changed their system between two deliveries
    flags: Frame  # FLAGS of sync/triggers/flags.py: only accounts to score again
    roots: Frame  # account_id of organisations the vendor names as their own parent
    blanks: Frame  # account_id of firms whose system vanished from the feed
    structure: Structure
    profiles: Frame | None = None  # PROFILES
    open_pairs: tuple[OpenPair, ...] = ()  # parties that may be one organisation; a person decides
    disagreements: tuple[Problem, ...] = ()  # sources that differ, values that expired, registers that contradict


_FLAG = {"reason": "flag_reason", "rule": "flag_rule", "source_ref": "flag_ref", "events": "flag_events"}
_ABOUT = (
    *("account_id", "account_name", "parent_account_id", "parent_name", "depth", "basis", "source_ref", "conflict"),
    *("member_of", "is_named_root", "is_blank", "owner_email", "owner_role", "owner_rule", "owner_evidence"),
    *("territory", "state", "routing_queue", "routing_rule", "tier", "tier_status", "tier_evidence", "is_known"),
    *("event", "old_system", "flag_reason", "flag_rule", "flag_ref", "flag_events"),
)


def propose(world: World, findings: Findings, policies: Policies, engine: Engine) -> Frame:
    """DESIRED of sync/planning/desired.py: one row per live CRM record."""
    about = _accounts(findings, policies)
    records = engine.materialize(_records(world, findings.links))
    climbed = native_parents(findings.hierarchy, records, policies.hierarchy.max_rounds, engine)
    parents = engine.materialize(climbed)
    table = (
        records.join(about, on="account_id", how="left")
        .join(parents, on=["connection", "parent_account_id"], how="left")
        .join(native_users(world), on=["connection", "owner_email"], how="left")
    )
    if engine.count(parents.filter(nw.col("parent_records") == SEVERAL).head(1)):
        table = _with_incumbent_parent(table, records)
    table = engine.materialize(table)
    values = [*_parent(), *_health_system(), *_ownership(), *_segmentation(), *_rescore()]
    return table.select(
        "connection",
        "record_id",
        "account_id",
        nw.coalesce("account_name", "record_name").alias("account_name"),
        nw.coalesce("depth", nw.lit(0)).alias("depth"),
        nw.col("member_of").alias("system"),
        nw.when(nw.col("event").is_null())
        .then(nw.col("member_of"))
        .otherwise(nw.col("old_system"))
        .alias("old_system"),
        *values,
    )


def _records(world: World, links: Frame) -> Frame:
    linked = links.select(nw.col("source").alias("connection"), nw.col("source_id").alias("record_id"), "account_id")
    wanted = live(world.records).select(
        "connection", "record_id", nw.col("name").alias("record_name"), nw.col("parent").alias("crm_parent")
    )
    return wanted.join(linked, on=["connection", "record_id"], how="inner")


def _accounts(found: Findings, policies: Policies) -> Frame:
    """Everything decided about an account, side by side, with its routing."""
    flag = nw.lit(value=True)
    names = found.accounts.select("account_id", nw.col("name").alias("account_name"))
    tree = found.hierarchy.select(
        *("account_id", "parent_account_id", "system_account_id", "system_name", "depth", "basis", "source_ref"),
        "conflict",
    ).with_columns(nw.len().over("system_account_id").alias("members"))
    parent_names = names.rename({"account_id": "parent_account_id", "account_name": "parent_name"})
    owners = found.ownership.rename({"rule": "owner_rule", "evidence": "owner_evidence"}).drop("unit_account_id")
    tiers = found.tiers.select(
        "account_id", "holder_account_id", "tier", "tier_status", "is_known", nw.col("evidence").alias("tier_evidence")
    )
    asked = [f"{fact}{end}" for fact in routing_facts(policies.routing) for end in ("__lo", "__hi")]
    facts = found.facts.select(nw.col("account_id").alias("holder_account_id"), *asked)
    events = found.events.select("account_id", nw.col("kind").alias("event"), "old_system")
    flags = found.flags.select("account_id", *[nw.col(name).alias(alias) for name, alias in _FLAG.items()])
    table = (
        tree.join(names, on="account_id", how="left")
        .join(parent_names, on="parent_account_id", how="left")
        .join(owners, on="account_id", how="left")
        .join(tiers, on="account_id", how="left")
        .join(facts, on="holder_account_id", how="left")
        .join(events, on="account_id", how="left")
        .join(flags, on="account_id", how="left")
        .join(found.roots.with_columns(flag.alias("is_named_root")), on="account_id", how="left")
        .join(
            found.blanks.select("account_id").unique().with_columns(flag.alias("is_blank")), on="account_id", how="left"
        )
    )
    in_system = (nw.col("members") > 1) | certain(nw.col("is_named_root"))
    member_of = nw.when(in_system).then(nw.col("system_name"))
    known = with_motion(table.with_columns(member_of.alias("member_of")), found.profiles)
    routed = route(with_routing_facts(known), policies.routing)
    return routed.select(*_ABOUT)


def _with_incumbent_parent(table: Frame, records: Frame) -> Frame:
    """Where the ancestor has several records here and today's parent is one of them, that one stays."""
    today = records.select("connection", nw.col("record_id").alias("crm_parent"), nw.col("account_id").alias("today"))
    joined = table.join(today, on=["connection", "crm_parent"], how="left")
    is_one_of_them = (nw.col("parent_records") == SEVERAL) & (nw.col("today") == nw.col("found_at"))
    kept = nw.when(certain(is_one_of_them)).then(nw.col("crm_parent")).otherwise(nw.col("native_parent"))
    return joined.with_columns(kept.alias("native_parent")).drop("today")


def _columns(name: str, value: Expr, kind: Expr, rule: Expr, evidence: Expr) -> list[Expr]:
    return [
        nw.when(kind == "value").then(value).alias(name),
        kind.alias(f"{name}__kind"),
        rule.alias(f"{name}__rule"),
        evidence.alias(f"{name}__evidence"),
        null(TEXT).alias(f"{name}__blocked"),
    ]


def _known(value: Expr) -> Expr:
    return nw.when(value.is_null()).then(nw.lit("abstain")).otherwise(nw.lit("value"))


def _parent() -> list[Expr]:
    value = nw.col("native_parent")
    why = cases(
        [
            (nw.col("conflict") == "CYCLE", "the sources name each other as parents"),
            (nw.col("conflict") == "NO_CONTROL", "no parent controls it"),
            (nw.col("conflict") == "DEPTH", "the chain of parents is too long"),
            (nw.col("is_blank"), "the newest delivery leaves its system blank"),
            (nw.col("parent_account_id").is_null(), "no parent is known"),
            (nw.col("parent_records") == SEVERAL, "its parent has several records in this CRM"),
            (nw.col("native_parent") == nw.col("record_id"), "it would be its own parent"),
            (value.is_null(), "no organisation above it has a record in this CRM"),
        ],
        "",
    )
    is_root = nw.col("parent_account_id").is_null() & nw.col("conflict").is_null() & ~certain(nw.col("is_blank"))
    clears = certain(is_root & nw.col("is_named_root"))
    writable = (why == "") | ((nw.col("parent_records") == SEVERAL) & ~value.is_null() & nw.col("conflict").is_null())
    kind = cases([(clears, "clear"), (writable & ~certain(nw.col("is_blank")), "value")], "abstain")
    basis = nw.coalesce("basis", nw.lit("root"))
    named = json_text(nw.coalesce("parent_name", nw.lit("")))
    source = json_text(nw.coalesce("source_ref", nw.lit("")))
    evidence = text('{"parent":"', named, '","basis":"', basis, '","from":"', source, '","note":"', why, '"}')
    return _columns("parent", value, kind, text("hierarchy.", basis), evidence)


def _health_system() -> list[Expr]:
    value = nw.col("member_of")
    source = json_text(nw.coalesce("source_ref", nw.lit("")))
    evidence = text('{"system":"', json_text(nw.coalesce("member_of", nw.lit(""))), '","from":"', source, '"}')
    return _columns("health_system", value, _known(value), nw.lit("hierarchy.system"), evidence)


def _ownership() -> list[Expr]:
    """Owner, role, territory and queue; the role goes with the owner."""
    owner, here = nw.col("native_owner"), ~nw.col("native_owner").is_null()
    missing = text('{"owner":"', nw.col("owner_email"), '","note":"has no active user in this CRM"}')
    lacks_user = ~nw.col("owner_email").is_null() & ~here
    evidence = nw.when(lacks_user).then(missing).otherwise(nw.col("owner_evidence"))
    rule = text("territory.", nw.coalesce("owner_rule", nw.lit("none")))
    role = nw.when(here).then(nw.col("owner_role"))
    in_state = text('{"state":"', nw.col("state"), '"}')
    queue = nw.col("routing_queue")
    because = text('{"tier":"', nw.col("tier"), '","owner_role":"', nw.col("owner_role"), '"}')
    return [
        *_columns("owner", owner, _known(owner), rule, evidence),
        *_columns("owner_role", role, _known(role), rule, evidence),
        *_columns("territory", nw.col("territory"), _known(nw.col("territory")), nw.lit("territory.state"), in_state),
        *_columns("routing_queue", queue, _known(queue), text("routing.", nw.col("routing_rule")), because),
    ]


def _segmentation() -> list[Expr]:
    known = certain(nw.col("is_known"))
    tier, status = nw.when(known).then(nw.col("tier")), nw.when(known).then(nw.col("tier_status"))
    rule, evidence = text("tiers.", nw.col("tier")), nw.col("tier_evidence")
    return [
        *_columns("account_tier", tier, _known(tier), rule, evidence),
        *_columns("tier_status", status, _known(status), rule, evidence),
    ]


def _rescore() -> list[Expr]:
    """Raised by an event, left alone otherwise: whoever has scored the account again lowers the flag."""
    reason = nw.col("flag_reason")
    flag = nw.when(~reason.is_null()).then(nw.lit("true"))
    count = nw.col("flag_events").cast(TEXT)
    source = json_text(nw.coalesce("flag_ref", nw.lit("")))
    evidence = text('{"events":"', count, '","from":"', source, '"}')
    rule = nw.coalesce("flag_rule", nw.lit("triggers"))
    return [
        *_columns("rescore_flag", flag, _known(flag), rule, evidence),
        *_columns("rescore_reason", reason, _known(reason), rule, evidence),
    ]
