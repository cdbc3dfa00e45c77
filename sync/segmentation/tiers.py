"""Account tiers: the best tier whose expression is known to hold, and what could still lift it.

Evaluated on the deciding organisation, inherited by its members. A tier is provisional where a better one is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence

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
    is_true,
    is_unknown,
    joined,
    letter,
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
    table = engine.materialize(table.with_columns(*(column(expr).alias(f"t__{id_}") for id_, expr in tiers)))
    judged = table.select("account_id", *_verdict(tiers, policy.untiered, rules))
    return engine.materialize(judged.rename({"account_id": "holder_account_id"}))


def _verdict(tiers: Sequence[tuple[str, Expr]], untiered: str, rules: Sequence[Rule]) -> list[nw.Expr]:
    """Tier, what it could be, what blocks it, and the words for people."""
    tier = cases([(is_true(nw.col(f"t__{id_}")), id_) for id_, _ in tiers], untiered)
    could_be = _open_tier(tiers)
    blocking = _per_open_tier(tiers, lambda expr: _blocking(expr, rules))
    hint = _per_open_tier(tiers, lambda expr: _hint(expr, rules))
    status = nw.when(could_be.is_null()).then(nw.lit("CONFIRMED")).otherwise(text("PROVISIONAL: ", could_be, " ", hint))
    known = [~nw.col(f"{fact.name}__lo").is_null() for fact in TIER_FACTS if fact.name not in _NO_KNOWLEDGE]
    is_known = known[0]
    for one in known[1:]:
        is_known = is_known | one
    return [
        tier.alias("tier"),
        (~could_be.is_null()).alias("provisional"),
        could_be.alias("could_be"),
        blocking.alias("blocking"),
        status.alias("tier_status"),
        _predicate_letters(rules).alias("predicates"),
        _evidence(rules).alias("evidence"),
        is_known.alias("is_known"),
    ]


def _open_tier(tiers: Sequence[tuple[str, Expr]]) -> nw.Expr:
    """The best tier that is unknown, as long as no better one is known to hold."""
    pairs: list[tuple[nw.Expr, object]] = []
    for id_, _ in tiers:
        pairs += [(is_true(nw.col(f"t__{id_}")), null(TEXT)), (is_unknown(nw.col(f"t__{id_}")), id_)]
    return cases(pairs, null(TEXT))


def _per_open_tier(tiers: Sequence[tuple[str, Expr]], words: object) -> nw.Expr:
    assert callable(words)  # noqa: S101 - narrows a private parameter
    pairs: list[tuple[nw.Expr, object]] = []
    for id_, expr in tiers:
        pairs += [(is_true(nw.col(f"t__{id_}")), null(TEXT)), (is_unknown(nw.col(f"t__{id_}")), words(expr))]
    return cases(pairs, null(TEXT))


def _blocking(expr: Expr, rules: Sequence[Rule]) -> nw.Expr:
    """Unknown facts under the unknown predicates that an expression mentions."""
    exprs = {rule.name: rule.expr for rule in rules}
    unknown: dict[str, nw.Expr] = {}
    for name in sorted({e.name for e in walk(expr) if isinstance(e, Ref)}):
        for fact in facts_of(exprs[name], exprs):
            open_ = is_unknown(nw.col(f"p__{name}")) & ~_settled(fact)
            unknown[fact] = unknown[fact] | open_ if fact in unknown else open_
    return joined([(condition, fact) for fact, condition in sorted(unknown.items())], ",")


def _settled(fact: str) -> nw.Expr:
    """True where both bounds are there and equal."""
    return certain(nw.col(f"{fact}__lo") == nw.col(f"{fact}__hi"))


def _hint(expr: Expr, rules: Sequence[Rule]) -> nw.Expr:
    """What would have to be confirmed: exact where all named predicates must hold, else the facts it depends on."""
    by_name = {rule.name: rule for rule in rules}
    if isinstance(expr, All) and all(isinstance(item, Ref) for item in expr.items):
        refs = [item.name for item in expr.items if isinstance(item, Ref)]
        parts = [(is_unknown(nw.col(f"p__{name}")), wanted(by_name[name])) for name in refs]
        return text("if ", joined(parts, " and "))
    return text("depends on ", _blocking(expr, rules).str.replace_all(",", ", ", literal=True))


def _predicate_letters(rules: Sequence[Rule]) -> nw.Expr:
    pieces: list[nw.Expr | str] = []
    for index, rule in enumerate(rules):
        pieces += [(", " if index else "") + f"{rule.name}=", letter(nw.col(f"p__{rule.name}"))]
    return text(*pieces)


def _evidence(rules: Sequence[Rule]) -> nw.Expr:
    """The facts that the predicates rest on: `{"beds":{"from":..., "is":...}, ...}`; unknown facts are left out."""
    exprs = {rule.name: rule.expr for rule in rules}
    facts = sorted({fact for rule in rules for fact in facts_of(rule.expr, exprs)})
    pieces = [nw.when(~nw.col(f"{fact}__lo").is_null()).then(_fact_json(fact)) for fact in facts]
    return text("{", text(*pieces).str.slice(1), "}")


def _fact_json(fact: str) -> nw.Expr:
    low, high = _as_text(fact, "lo"), _as_text(fact, "hi")
    value = nw.when(_settled(fact)).then(low).otherwise(text(low, " to ", nw.coalesce(high, nw.lit("?"))))
    source = json_text(nw.coalesce(f"{fact}__from", nw.lit("")))
    return text(f',"{fact}":{{"is":"', json_text(value), '","from":"', source, '"}')


def _as_text(fact: str, end: str) -> nw.Expr:
    """Canonical text made by us: the engines disagree on how a boolean reads."""
    value = nw.col(f"{fact}__{end}")
    type_ = next(f.type for f in TIER_FACTS if f.name == fact)
    if type_ is bool:
        return nw.when(value.is_null()).then(null(TEXT)).otherwise(cases([(value, "true")], "false"))
    return value.cast(TEXT)


def json_text(value: nw.Expr) -> nw.Expr:
    """The text as it stands between the quotes of a JSON string; control characters were removed at the edge."""
    return value.str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
