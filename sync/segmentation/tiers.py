"""Account tiers: the best tier whose expression is known to hold, and what could still lift it.

Evaluated on the deciding organisation, inherited by its members. A tier is provisional where a better one is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeGuard

import narwhals as nw

from mappings.expressions import All, Expr, Ref, parse, walk
from mappings.facts import TIER_FACTS
from mappings.policy import TierPolicy
from sync.engine import Engine, Frame
from sync.frames import cases, certain, conform, null, text
from sync.segmentation.predicates import (
    Rule,
    column,
    facts_of,
    is_unknown,
    joined,
    parse_rules,
    wanted,
)
from sync.world import BOOL, TEXT, Schema

TIERS: Schema = {
    "account_id": TEXT,
    "holder_account_id": TEXT,  # the deciding organisation, the account itself where it stands alone
    "tier": TEXT,
    "provisional": BOOL,  # a better tier is neither known to hold nor known not to
    "could_be": TEXT,  # the best tier that is still open; null where the tier is confirmed
    "blocking": TEXT,  # unknown facts it depends on, comma-separated
    "tier_status": TEXT,  # CONFIRMED, or "PROVISIONAL: T1 if gpo_covered is confirmed as false"
    "predicates": TEXT,  # "is_idn=T, target_strong=U, ..."
    "evidence": TEXT,  # JSON: the facts, each with bounds and source
    "is_known": BOOL,  # anything at all is known of the deciding organisation
    "standalone_tier": TEXT,  # by its own row alone; null = not judged (sync/segmentation/standalone.py)
}
"""One row per account."""

_NO_KNOWLEDGE = ("non_con_bp", "hospitals", "beds")  # a state, or a count of nothing: true of any account


def assign_tiers(holders: Frame, facts: Frame, policy: TierPolicy, engine: Engine) -> Frame:
    """TIERS from `holders` (account_id, holder_account_id) and the facts per holder."""
    return engine.materialize(inherited(holders, judge_holders(facts, policy, engine)))


def inherited(holders: Frame, verdicts: Frame) -> Frame:
    """TIERS of every account: the verdict on whoever decides for it. Lazy: a verdict is kept once per holder."""
    mine = holders.select("account_id", "holder_account_id")
    return conform(mine.join(verdicts, on="holder_account_id", how="left"), TIERS)


def judge_holders(facts: Frame, policy: TierPolicy, engine: Engine) -> Frame:
    """The columns of TIERS per `holder_account_id`, from the facts per holder."""
    rules = parse_rules(policy.predicates)
    tiers = [(tier.id, parse(tier.when)) for tier in policy.tiers]
    table = facts
    for rule in rules:
        table = table.with_columns(column(rule.expr).alias(f"p__{rule.name}"))
    named = [f"p__{rule.name}" for rule in rules]
    open_facts = {f"o__{fact.name}": ~_settled(fact.name) for fact in TIER_FACTS}
    table = table.with_columns(
        nw.col(*named).is_null().name.prefix("u__"),
        **{f"t__{id_}": column(expr) for id_, expr in tiers},
        **open_facts,
    )
    table = engine.materialize(table.with_columns(could_be=_open_tier(tiers)))
    judged = _with_words(table, tiers, rules).select(
        nw.col("account_id").alias("holder_account_id"),
        cases([(nw.col(f"t__{id_}"), id_) for id_, _ in tiers], policy.untiered).alias("tier"),
        (~nw.col("could_be").is_null()).alias("provisional"),
        "could_be",
        "blocking",
        "tier_status",
        "predicates",
        "evidence",
        "is_known",
    )
    return engine.materialize(judged)


def _open_tier(tiers: Sequence[tuple[str, Expr]]) -> nw.Expr:
    """The best tier that is unknown, as long as no better one is known to hold."""
    pairs: list[tuple[nw.Expr, object]] = []
    for id_, _ in tiers:
        holds = nw.col(f"t__{id_}")
        pairs += [(holds, null(TEXT)), (is_unknown(holds), id_)]
    return cases(pairs, null(TEXT))


def _with_words(table: Frame, tiers: Sequence[tuple[str, Expr]], rules: Sequence[Rule]) -> Frame:
    """Adds what blocks the open tier, and the words for people."""
    exprs = {rule.name: rule.expr for rule in rules}
    facts = sorted({fact for rule in rules for fact in facts_of(rule.expr, exprs)})
    could_be, letters = nw.col("could_be"), [f"l__p__{rule.name}" for rule in rules]
    known = [f"{fact.name}__lo" for fact in TIER_FACTS if fact.name not in _NO_KNOWLEDGE]
    table = _with_texts(table, facts).with_columns(
        nw.col(*(f"p__{rule.name}" for rule in rules))
        .replace_strict([True, False], ["T", "F"], default=nw.lit("U"), return_dtype=TEXT)
        .name.prefix("l__"),
        **{f"w__{fact}": nw.when(nw.col(f"o__{fact}")).then(nw.lit(f",{fact}")) for fact in facts},
    )
    named = [(", " if index else "") + f"{rule.name}=" for index, rule in enumerate(rules)]
    table = table.with_columns(
        blocking=cases([(could_be == id_, _blocking(expr, exprs)) for id_, expr in tiers], null(TEXT)),
        predicates=text(*(part for name, one in zip(named, letters, strict=True) for part in (name, nw.col(one)))),
        evidence=text("{", text(*map(_fact_json, facts)).str.slice(1), "}"),
        is_known=nw.any_horizontal(~nw.col(*known).is_null(), ignore_nulls=True),
    )
    depends = text("depends on ", nw.col("blocking").str.replace_all(",", ", ", literal=True))
    exact = [(could_be == id_, _hint(expr.items, rules)) for id_, expr in tiers if _is_exact(expr)]
    status = text("PROVISIONAL: ", could_be, " ", cases(exact, depends))
    return table.with_columns(tier_status=nw.when(could_be.is_null()).then(nw.lit("CONFIRMED")).otherwise(status))


def _settled(fact: str) -> nw.Expr:
    """True where both bounds are there and equal."""
    return certain(nw.col(f"{fact}__lo") == nw.col(f"{fact}__hi"))


def _blocking(expr: Expr, exprs: Mapping[str, Expr]) -> nw.Expr:
    """Unknown facts under the unknown predicates that an expression mentions."""
    unknown: dict[str, nw.Expr] = {}
    for name in sorted({e.name for e in walk(expr) if isinstance(e, Ref)}):
        for fact in facts_of(exprs[name], exprs):
            open_ = nw.col(f"u__p__{name}")
            unknown[fact] = unknown[fact] | open_ if fact in unknown else open_
    return text(*(nw.when(one).then(nw.col(f"w__{fact}")) for fact, one in sorted(unknown.items()))).str.slice(1)


def _is_exact(expr: Expr) -> TypeGuard[All]:
    """Whether all of the predicates that it names must hold: then what is missing is exactly the unknown ones."""
    return isinstance(expr, All) and all(isinstance(item, Ref) for item in expr.items)


def _hint(refs: Sequence[Expr], rules: Sequence[Rule]) -> nw.Expr:
    """What would have to be confirmed."""
    by_name = {rule.name: rule for rule in rules}
    names = [item.name for item in refs if isinstance(item, Ref)]
    return text("if ", joined([(nw.col(f"u__p__{name}"), wanted(by_name[name])) for name in names], " and "))


def _with_texts(table: Frame, facts: Sequence[str]) -> Frame:
    """Adds `j__<column>` of the bounds and the source of each fact: its text, as it stands in a JSON string.

    Canonical text made by us: the engines disagree on how a boolean reads.
    """
    truths = [fact.name for fact in TIER_FACTS if fact.type is bool and fact.name in facts]
    others = [fact for fact in facts if fact not in truths]
    made = []
    if truths:
        ends = nw.col(*(f"{fact}{end}" for fact in truths for end in ("__lo", "__hi")))
        made.append(ends.replace_strict([True, False], ["true", "false"], default=null(TEXT), return_dtype=TEXT))
    if others:
        made.append(json_text(nw.col(*(f"{fact}{end}" for fact in others for end in ("__lo", "__hi"))).cast(TEXT)))
    made.append(json_text(nw.col(*(f"{fact}__from" for fact in facts))))
    return table.with_columns(*(one.name.prefix("j__") for one in made))


def _fact_json(fact: str) -> nw.Expr:
    """`,"beds":{"is":...,"from":...}`; null where nothing is known. The facts that the predicates rest on."""
    low = nw.col(f"j__{fact}__lo")
    rest = nw.when(nw.col(f"o__{fact}")).then(text(" to ", nw.coalesce(f"j__{fact}__hi", nw.lit("?"))))
    told = text(f',"{fact}":{{"is":"', low, rest, '","from":"', nw.col(f"j__{fact}__from"), '"}')
    return nw.when(~low.is_null()).then(told)


def json_text(value: nw.Expr) -> nw.Expr:
    """The text as it stands between the quotes of a JSON string; control characters were removed at the edge."""
    return value.str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
