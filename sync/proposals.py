"""Desired values: what every CRM record should say, with the rule and the facts behind each value.

A field that nothing is known about abstains: it is left alone, never emptied. Two records of one account in one CRM are
wanted to say the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import narwhals as nw

from mappings.canonical import MANAGED
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

    values: Frame  # connection, record_id, account_id, and per field value and kind; one row per live CRM record
    named: Callable[[Frame], Frame]  # `values` with `account_name` of the records of `connection`, `record_id`
    told: Callable[[Frame], Frame]  # DESIRED of the records of `connection`, `record_id`


def propose(world: World, findings: Findings, policies: Policies, engine: Engine) -> Proposals:
    """DESIRED of sync/planning/desired.py, the values for all live CRM records and the whole for any of them."""
    about = _About(findings, policies, engine)
    shown = _shown(world)
    records = engine.materialize(_linked(shown, findings.links))
    climbed = native_parents(findings.hierarchy, records, policies.hierarchy.max_rounds, engine)
    parents = engine.materialize(climbed)
    several = bool(engine.count(parents.filter(nw.col("parent_records") == SEVERAL).head(1)))
    users = engine.materialize(native_users(world))

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
        table = engine.materialize(beside(mine, about.in_words(mine.select("account_id").unique())))
        return table.select(*_IDS, *_about_record(), *(one for columns in _fields().values() for one in columns))

    wanted = records.join(shown.select(*_KEY, "crm_parent"), on=_KEY, how="left") if several else records
    values = _values(beside(wanted, about.valued()), engine)

    def named(keys: Frame) -> Frame:
        few = keys.select(*_KEY)
        names = findings.accounts.select("account_id", nw.col("name").alias("account_name"))
        mine = values.join(few, on=_KEY, how="semi").join(names, on="account_id", how="left")
        mine = mine.join(shown.join(few, on=_KEY, how="semi").select(*_KEY, "record_name"), on=_KEY, how="left")
        return mine.with_columns(nw.coalesce("account_name", "record_name").alias("account_name"))

    return Proposals(values=values, named=named, told=told)


def _values(table: Frame, engine: Engine) -> Frame:
    """Value and kind per field. Kept are the values; of the kinds only what a value does not say: that it is to go."""
    fields = _fields()
    kept = [
        one for name, (value, kind, *_) in fields.items() for one in (value, (kind == "clear").alias(f"{name}__clears"))
    ]
    values = engine.materialize(table.select(*_IDS, *kept))
    kinds = {
        name: cases([(nw.col(f"{name}__clears"), "clear"), (nw.col(name).is_null(), "abstain")], "value")
        for name in fields
    }
    return values.select(*_IDS, *(c for n, kind in kinds.items() for c in (nw.col(n), kind.alias(f"{n}__kind"))))


_KEY = ["connection", "record_id"]
_IDS = (*_KEY, "account_id")


def _fields() -> dict[str, list[Expr]]:
    """Per field its columns: value, kind, rule, evidence and what blocks it."""
    columns = [_parent(), _health_system(), *_ownership(), *_segmentation(), _score(), *_rescore()]
    return dict(zip(MANAGED, columns, strict=True))


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
        self._found, self._policies, self._engine = found, policies, engine
        tree = found.hierarchy.select(
            *("account_id", "parent_account_id", "system_account_id", "system_name", "depth", "basis", "source_ref"),
            "conflict",
        ).with_columns(nw.len().over("system_account_id").alias("members"))
        self._tree = engine.materialize(tree)
        self._holders = engine.materialize(self._of_holders())

    def valued(self) -> Frame:
        """_VALUED of every account."""
        return self._decided(self._tree, lambda frame: frame, _VALUED)

    def in_words(self, accounts: Frame) -> Frame:
        """_VALUED and _TOLD of these accounts (`account_id`, each once)."""
        only = self._engine.materialize(accounts)
        return self._decided(
            self._named(self._tree.join(only, on="account_id", how="semi"), only),
            lambda frame: frame.join(only, on="account_id", how="semi"),
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
            .join(found.roots, on="account_id", how="left")
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
    value, no_parent = nw.col("native_parent"), nw.col("parent_account_id").is_null()
    released = certain(nw.col("is_released")) & no_parent
    why = cases(
        [
            (nw.col("conflict") == "CYCLE", "the sources name each other as parents"),
            (nw.col("conflict") == "NO_CONTROL", "no parent controls it"),
            (nw.col("conflict") == "DEPTH", "the chain of parents is too long"),
            (nw.col("is_blank"), "the newest delivery leaves its system blank"),
            (released, "the vendor says that it belongs to no system any more"),
            (no_parent, "no parent is known"),
            (nw.col("parent_records") == SEVERAL, "its parent has several records in this CRM"),
            (nw.col("native_parent") == nw.col("record_id"), "it would be its own parent"),
            (value.is_null(), "no organisation above it has a record in this CRM"),
        ],
        "",
    )
    clears = _stands_alone() & (certain(nw.col("is_named_root")) | certain(nw.col("is_released")))
    writable = (why == "") | ((nw.col("parent_records") == SEVERAL) & ~value.is_null() & nw.col("conflict").is_null())
    kind = cases([(clears, "clear"), (writable & ~certain(nw.col("is_blank")), "value")], "abstain")
    basis = nw.when(released).then(nw.lit("released")).otherwise(nw.coalesce("basis", nw.lit("root")))
    named = json_text(nw.coalesce("parent_name", nw.lit("")))
    source = json_text(nw.coalesce("source_ref", "released_ref", nw.lit("")))
    evidence = text('{"parent":"', named, '","basis":"', basis, '","from":"', source, '","note":"', why, '"}')
    return _columns("parent", value, kind, text("hierarchy.", basis), evidence)


def _stands_alone() -> Expr:
    """Nobody is above it, and nothing keeps that from being known."""
    return certain(nw.col("parent_account_id").is_null() & nw.col("conflict").is_null() & ~certain(nw.col("is_blank")))


def _health_system() -> list[Expr]:
    value = nw.col("member_of")
    source = json_text(nw.coalesce("source_ref", "released_ref", nw.lit("")))
    evidence = text('{"system":"', json_text(nw.coalesce("member_of", nw.lit(""))), '","from":"', source, '"}')
    left = _stands_alone() & certain(nw.col("is_released")) & value.is_null()
    kind = nw.when(left).then(nw.lit("clear")).otherwise(_known(value))
    return _columns("health_system", value, kind, nw.lit("hierarchy.system"), evidence)


def _ownership() -> list[list[Expr]]:
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
        _columns("owner", owner, _known(owner), rule, evidence),
        _columns("owner_role", role, _known(role), rule, evidence),
        _columns("territory", nw.col("territory"), _known(nw.col("territory")), nw.lit("territory.state"), in_state),
        _columns("routing_queue", queue, _known(queue), text("routing.", nw.col("routing_rule")), because),
    ]


def _segmentation() -> list[list[Expr]]:
    known = certain(nw.col("is_known"))
    tier, status = nw.when(known).then(nw.col("tier")), nw.when(known).then(nw.col("tier_status"))
    rule, evidence = text("tiers.", nw.col("tier")), nw.col("tier_evidence")
    return [
        _columns("account_tier", tier, _known(tier), rule, evidence),
        _columns("tier_status", status, _known(status), rule, evidence),
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


def _score() -> list[Expr]:
    rule = text("scores.", nw.coalesce("score_band", nw.lit("none")))
    return _columns("score", nw.col("score"), _known(nw.col("score")), rule, nw.col("score_evidence"))


def _rescore() -> list[list[Expr]]:
    """Raised by an event, left alone otherwise: whoever has scored the account again lowers the flag."""
    reason = nw.col("flag_reason")
    flag = nw.when(~reason.is_null()).then(nw.lit("true"))
    count = nw.col("flag_events").cast(TEXT)
    source = json_text(nw.coalesce("flag_ref", nw.lit("")))
    evidence = text('{"events":"', count, '","from":"', source, '"}')
    rule = nw.coalesce("flag_rule", nw.lit("triggers"))
    return [
        _columns("rescore_flag", flag, _known(flag), rule, evidence),
        _columns("rescore_reason", reason, _known(reason), rule, evidence),
    ]
