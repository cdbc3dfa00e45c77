"""Desired values: what every CRM record should say, with the rule and the facts behind each value.

A field that nothing is known about abstains: it is left alone, never emptied. Two records of one account in one CRM are
wanted to say the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import narwhals as nw

from mappings.policy import Policies
from sync.engine import Engine, Frame
from sync.frames import Expr, cases, certain, null, one_of, text
from sync.hierarchy.native import SEVERAL, native_parents
from sync.identity.contest import OpenPair
from sync.identity.parties import live
from sync.problem import Problem
from sync.segmentation.scores import GATED, INSUFFICIENT
from sync.segmentation.tiers import json_text
from sync.structure import Structure
from sync.territory.people import native_users
from sync.territory.routing import route, routing_facts, with_routing_facts
from sync.world import TEXT, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What the stages found out, each one row per account unless it says otherwise."""

    links: Frame  # one row per record and firm
    accounts: Frame
    hierarchy: Frame
    tiers: Frame  # lazy: the verdicts, inherited
    verdicts: Frame  # TIERS per holder_account_id
    holders: Frame  # HOLDERS
    facts: Frame  # bounds of the facts, one row per deciding organisation
    ownership: Frame
    events: Frame  # only accounts that changed their system between two deliveries
    flags: Frame  # FLAGS of sync/triggers/flags.py: only accounts to score again
    roots: Frame  # account_id of organisations that vendors put under nobody, and in what words
    blanks: Frame  # account_id of firms whose system vanished from the feed
    structure: Structure
    profiles: Frame | None = None  # PROFILES; lazy: what is described, inherited
    described: Frame | None = None  # PROFILES per holder_account_id
    open_pairs: tuple[OpenPair, ...] = ()  # parties that may be one organisation; a person decides
    disagreements: tuple[Problem, ...] = ()  # sources that differ, values that expired, registers that contradict


_FLAG = {"reason": "flag_reason", "rule": "flag_rule", "source_ref": "flag_ref", "events": "flag_events"}
_VALUED = (
    *("account_id", "parent_account_id", "conflict", "member_of", "is_named_root", "is_released", "is_blank"),
    "owner_email",
    *("owner_role", "territory", "routing_queue", "tier", "tier_status", "is_known", "score", "flag_reason"),
)
"""What the values of a record are made of."""

_TOLD = (
    *("account_name", "parent_name", "depth", "basis", "source_ref", "owner_rule", "owner_evidence", "state"),
    *("routing_rule", "tier_evidence", "event", "old_system", "flag_rule", "flag_ref", "flag_events"),
    *("score_band", "score_evidence", "released_ref"),
)
"""What rules and evidence are made of besides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposals:
    """What every CRM record should say. The words behind it are made for the records that somebody asks about."""

    values: (
        Frame  # connection, record_id, account_id, a value per field, a kind of _EMPTIED; one row per live CRM record
    )
    named: Callable[[Frame], Frame]  # `values` with `account_name` of the records of `connection`, `record_id`
    told: Callable[[Frame], Frame]  # DESIRED without values and kinds, of the records of `connection`, `record_id`


def propose(world: World, findings: Findings, policies: Policies, engine: Engine) -> Proposals:
    """DESIRED of sync/planning/desired.py, the values for all live CRM records and the whole for any of them."""
    about = _About(findings, policies, engine)
    shown = _shown(world)
    records = engine.materialize(_linked(shown, findings.links))
    climbed = native_parents(findings.hierarchy, records, policies.hierarchy.max_rounds, engine)
    parents = engine.materialize(climbed)
    several = bool(engine.count(parents.filter(nw.col("parent_records") == SEVERAL).head(1)))
    users = native_users(world)

    def beside(mine: Frame, accounts: Frame) -> Frame:
        table = (
            mine.join(accounts, on="account_id", how="left")
            .join(parents, on=["connection", "parent_account_id"], how="left")
            .join(users, on=["connection", "owner_email"], how="left")
        )
        return _with_incumbent_parent(table, records) if several else table

    def told(keys: Frame) -> Frame:
        few = keys.select(*_KEY)
        mine = records.join(few, on=_KEY, how="semi").join(shown.join(few, on=_KEY, how="semi"), on=_KEY, how="left")
        mine = engine.materialize(mine)
        return _words(beside(mine, about.in_words(mine.select("account_id").unique())))

    wanted = records.join(shown.select(*_KEY, "crm_parent"), on=_KEY, how="left") if several else records
    values = _values(beside(wanted, about.valued()), engine)

    def named(keys: Frame) -> Frame:
        few = keys.select(*_KEY)
        mine = values.join(few, on=_KEY, how="semi")
        names = findings.accounts.select("account_id", nw.col("name").alias("account_name"))
        shows = shown.join(few, on=_KEY, how="semi").select(*_KEY, "record_name")
        mine = mine.join(
            names.join(mine.select("account_id"), on="account_id", how="semi"), on="account_id", how="left"
        )
        return mine.join(shows, on=_KEY, how="left").with_columns(
            account_name=nw.coalesce("account_name", "record_name")
        )

    return Proposals(values=values, named=named, told=told)


_KEY = ["connection", "record_id"]
_IDS = (*_KEY, "account_id")
_EMPTIED = ("parent", "health_system")
"""Fields that the rules may want empty: nothing else is known well enough to be nothing."""


def _values(table: Frame, engine: Engine) -> Frame:
    """The value of every field, null where nothing is known, and the kind of those that may be emptied."""
    clears = {f"{name}__clears": _is_emptied(name) for name in _EMPTIED}
    values = engine.materialize(table.select(*_IDS, **_wanted(), **clears))
    kinds = {
        f"{name}__kind": cases([(nw.col(f"{name}__clears"), "clear"), (nw.col(name).is_null(), "abstain")], "value")
        for name in _EMPTIED
    }
    return values.with_columns(**kinds).drop(*clears)


def _words(table: Frame) -> Frame:
    """Rule and evidence of every field, and the names beside them."""
    released = certain(nw.col("is_released")) & nw.col("parent_account_id").is_null()
    shared = table.with_columns(
        _basis=nw.when(released).then(nw.lit("released")).otherwise(nw.coalesce("basis", nw.lit("root"))),
        _source=json_text(nw.coalesce("source_ref", "released_ref", nw.lit(""))),
        _rests_on_nobody=~nw.col("owner_email").is_null() & nw.col("native_owner").is_null(),
    )
    return shared.select(*_IDS, *_about_record(), **_rules(), **_evidence())


def _about_record() -> list[Expr]:
    moved = ~nw.col("event").is_null()
    return [
        nw.coalesce("account_name", "record_name").alias("account_name"),
        nw.coalesce("depth", nw.lit(0)).alias("depth"),
        nw.col("member_of").alias("system"),
        nw.when(~moved).then(nw.col("member_of")).otherwise(nw.col("old_system")).alias("old_system"),
    ]


def _shown(world: World) -> Frame:
    """What the CRMs show of their live records: name and parent."""
    return live(world.records).select(
        "connection", "record_id", nw.col("name").alias("record_name"), nw.col("parent").alias("crm_parent")
    )


def _linked(shown: Frame, links: Frame) -> Frame:
    """The live records with their account: connection, record_id, account_id."""
    linked = links.select(nw.col("source").alias("connection"), nw.col("source_id").alias("record_id"), "account_id")
    return shown.select(*_KEY).join(linked, on=_KEY, how="inner")


class _About:
    """What is decided about accounts, side by side: enough for the values of all, or everything for a few."""

    def __init__(self, found: Findings, policies: Policies, engine: Engine) -> None:
        self._found, self._policies = found, policies
        tree = found.hierarchy.select(
            *("account_id", "parent_account_id", "system_account_id", "system_name", "depth", "basis", "source_ref"),
            "conflict",
        ).with_columns(nw.len().over("system_account_id").alias("members"))
        self._tree = engine.materialize(tree)
        self._roots = engine.materialize(found.roots)
        self._holders = engine.materialize(self._of_holders())

    def valued(self) -> Frame:
        """_VALUED of every account."""
        return self._decided(self._tree, lambda frame: frame, _VALUED)

    def in_words(self, accounts: Frame) -> Frame:
        """_VALUED and _TOLD of these accounts (`account_id`, each once)."""
        return self._decided(
            self._named(self._tree.join(accounts, on="account_id", how="semi"), accounts),
            lambda frame: frame.join(accounts, on="account_id", how="semi"),
            (*_VALUED, *_TOLD),
        )

    def _named(self, tree: Frame, only: Frame) -> Frame:
        """The tree with the names of the accounts and of their parents, and the events behind them."""
        names = self._found.accounts.select("account_id", nw.col("name").alias("account_name"))
        above = tree.select(nw.col("parent_account_id").alias("account_id")).unique()
        parents = names.join(above, on="account_id", how="semi").rename(
            {"account_id": "parent_account_id", "account_name": "parent_name"}
        )
        events = self._found.events.select("account_id", nw.col("kind").alias("event"), "old_system")
        return (
            tree.join(names.join(only, on="account_id", how="semi"), on="account_id", how="left")
            .join(parents, on="parent_account_id", how="left")
            .join(events, on="account_id", how="left")
        )

    def _decided(self, tree: Frame, near: Callable[[Frame], Frame], columns: tuple[str, ...]) -> Frame:
        """The columns of the tree's accounts; `near` narrows a table to them."""
        found, flag = self._found, nw.lit(value=True)
        owners = near(found.ownership.rename({"rule": "owner_rule", "evidence": "owner_evidence"}))
        of_holder = near(found.holders.select("account_id", "holder_account_id"))
        flags = found.flags.select("account_id", *[nw.col(name).alias(alias) for name, alias in _FLAG.items()])
        blanks = found.blanks.select("account_id").unique().with_columns(flag.alias("is_blank"))
        table = (
            tree.join(owners.drop("unit_account_id"), on="account_id", how="left")
            .join(of_holder, on="account_id", how="left")
            .join(self._holders, on="holder_account_id", how="left")
            .join(flags, on="account_id", how="left")
            .join(self._roots, on="account_id", how="left")
            .join(blanks, on="account_id", how="left")
        )
        in_system = (nw.col("members") > 1) | certain(nw.col("is_named_root"))
        known = table.with_columns(nw.when(in_system).then(nw.col("system_name")).alias("member_of"))
        return route(with_routing_facts(known), self._policies.routing).select(*columns)

    def _of_holders(self) -> Frame:
        """Per deciding organisation its tier, the facts that routing asks for, and how it is sold to."""
        found = self._found
        asked = [f"{fact}{end}" for fact in routing_facts(self._policies.routing) for end in ("__lo", "__hi")]
        facts = found.facts.select(nw.col("account_id").alias("holder_account_id"), *asked)
        verdicts = found.verdicts.select(
            "holder_account_id", "tier", "tier_status", "is_known", nw.col("evidence").alias("tier_evidence")
        )
        table = verdicts.join(facts, on="holder_account_id", how="left")
        if found.described is None:
            return table.with_columns(**{name: null(TEXT) for name in ("motion", *_SCORED)})
        sold = found.described.with_columns(**_scored()).select("holder_account_id", "motion", *_SCORED)
        return table.join(sold, on="holder_account_id", how="left")


def _with_incumbent_parent(table: Frame, records: Frame) -> Frame:
    """Where the ancestor has several records here and today's parent is one of them, that one stays."""
    today = records.select("connection", nw.col("record_id").alias("crm_parent"), nw.col("account_id").alias("today"))
    joined = table.join(today, on=["connection", "crm_parent"], how="left")
    is_one_of_them = (nw.col("parent_records") == SEVERAL) & (nw.col("today") == nw.col("found_at"))
    kept = nw.when(certain(is_one_of_them)).then(nw.col("crm_parent")).otherwise(nw.col("native_parent"))
    return joined.with_columns(kept.alias("native_parent")).drop("today")


# --- values -----------------------------------------------------------------------------------------------------------


def _wanted() -> dict[str, Expr]:
    """The value of each field; the role goes with the owner, and the flag is raised by an event.

    A flag that no event raises is left alone: whoever has scored the account again lowers it.
    """
    known = certain(nw.col("is_known"))
    return {
        "parent": nw.when(_is_written()).then(nw.col("native_parent")),
        "health_system": nw.col("member_of"),
        "owner": nw.col("native_owner"),
        "owner_role": nw.when(~nw.col("native_owner").is_null()).then(nw.col("owner_role")),
        "territory": nw.col("territory"),
        "routing_queue": nw.col("routing_queue"),
        "account_tier": nw.when(known).then(nw.col("tier")),
        "tier_status": nw.when(known).then(nw.col("tier_status")),
        "score": nw.col("score"),
        "rescore_flag": nw.when(~nw.col("flag_reason").is_null()).then(nw.lit("true")),
        "rescore_reason": nw.col("flag_reason"),
    }


def _is_emptied(name: str) -> Expr:
    """True where nobody is above it, and nothing keeps that from being known."""
    alone = nw.col("parent_account_id").is_null() & nw.col("conflict").is_null() & ~certain(nw.col("is_blank"))
    if name == "parent":
        return alone & (certain(nw.col("is_named_root")) | certain(nw.col("is_released")))
    return alone & certain(nw.col("is_released")) & nw.col("member_of").is_null()


def _is_written() -> Expr:
    """Nothing stands against the parent; of several records today's stays, where nobody contests it."""
    against = nw.any_horizontal(*(condition for condition, _ in _objections()), ignore_nulls=True)
    stays = certain(nw.col("parent_records") == SEVERAL) & nw.col("conflict").is_null()
    return (~against | stays) & ~certain(nw.col("is_blank"))


def _objections() -> list[tuple[Expr, str]]:
    """What keeps a record from getting a parent, the first that holds."""
    no_parent = nw.col("parent_account_id").is_null()
    return [
        (nw.col("conflict") == "CYCLE", "the sources name each other as parents"),
        (nw.col("conflict") == "NO_CONTROL", "no parent controls it"),
        (nw.col("conflict") == "DEPTH", "the chain of parents is too long"),
        (nw.col("is_blank"), "the newest delivery leaves its system blank"),
        (nw.col("is_released") & no_parent, "the vendor says that it belongs to no system any more"),
        (no_parent, "no parent is known"),
        (nw.col("parent_records") == SEVERAL, "its parent has several records in this CRM"),
        (nw.col("native_parent") == nw.col("record_id"), "it would be its own parent"),
        (nw.col("native_parent").is_null(), "no organisation above it has a record in this CRM"),
    ]


_SCORED = ("score", "score_band", "score_evidence")


def _scored() -> dict[str, Expr]:
    """_SCORED of profiles: whole points, half a point up; nothing where too little is known, or a gate holds."""
    tenths, band = nw.col("score_tenths"), nw.col("band")
    known = ~one_of(band, {INSUFFICIENT, GATED}) & ~band.is_null()
    exact = text((tenths // 10).cast(TEXT), ".", (tenths % 10).cast(TEXT))
    covered = (nw.col("coverage_bp") // 100).cast(TEXT)
    return {
        "score": nw.when(known).then(((tenths + 5) // 10).cast(TEXT)),
        "score_band": band,
        "score_evidence": text('{"score":"', exact, '","band":"', band, '","known":"', covered, ' % of the weight"}'),
    }


# --- words ------------------------------------------------------------------------------------------------------------


def _rules() -> dict[str, Expr]:
    """The rule behind each field."""
    owner = text("territory.", nw.coalesce("owner_rule", nw.lit("none")))
    flagged = nw.coalesce("flag_rule", nw.lit("triggers"))
    rules = {
        "parent": text("hierarchy.", nw.col("_basis")),
        "health_system": nw.lit("hierarchy.system"),
        **dict.fromkeys(("owner", "owner_role"), owner),
        "territory": nw.lit("territory.state"),
        "routing_queue": text("routing.", nw.col("routing_rule")),
        **dict.fromkeys(("account_tier", "tier_status"), text("tiers.", nw.col("tier"))),
        "score": text("scores.", nw.coalesce("score_band", nw.lit("none"))),
        **dict.fromkeys(("rescore_flag", "rescore_reason"), flagged),
    }
    return {f"{name}__rule": rule for name, rule in rules.items()}


def _evidence() -> dict[str, Expr]:
    """The facts behind each field as JSON."""
    c = nw.col
    named, system = (json_text(nw.coalesce(name, nw.lit(""))) for name in ("parent_name", "member_of"))
    why = cases(_objections(), "")
    parent = text('{"parent":"', named, '","basis":"', c("_basis"), '","from":"', c("_source"), '","note":"', why, '"}')
    lacking = text('{"owner":"', c("owner_email"), '","note":"has no active user in this CRM"}')
    owner = nw.when(c("_rests_on_nobody")).then(lacking).otherwise(c("owner_evidence"))
    flag_ref = json_text(nw.coalesce("flag_ref", nw.lit("")))
    flagged = text('{"events":"', c("flag_events").cast(TEXT), '","from":"', flag_ref, '"}')
    evidence = {
        "parent": parent,
        "health_system": text('{"system":"', system, '","from":"', c("_source"), '"}'),
        **dict.fromkeys(("owner", "owner_role"), owner),
        "territory": text('{"state":"', c("state"), '"}'),
        "routing_queue": text('{"tier":"', c("tier"), '","owner_role":"', c("owner_role"), '"}'),
        **dict.fromkeys(("account_tier", "tier_status"), c("tier_evidence")),
        "score": c("score_evidence"),
        **dict.fromkeys(("rescore_flag", "rescore_reason"), flagged),
    }
    return {f"{name}__evidence": facts for name, facts in evidence.items()}
