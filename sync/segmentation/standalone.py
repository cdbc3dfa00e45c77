"""The tier an affiliate would have by itself, beside the one it has from whoever decides for it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import narwhals as nw

from mappings.expressions import evaluate, parse
from mappings.insight_policy import SegmentPolicy
from mappings.policy import TierPolicy
from sync.engine import Engine, Frame
from sync.frames import one_of, stack
from sync.segmentation.classify import Evidence, classify
from sync.segmentation.members import with_kind
from sync.segmentation.predicates import parse_rules
from sync.segmentation.tiers import inherited, judge_holders


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What is known of every deciding organisation, and what follows."""

    facts: Frame  # FACT_BOUNDS and TRAITS per deciding organisation
    verdicts: Frame  # TIERS per holder_account_id
    tiers: Frame  # TIERS with `standalone_tier`; lazy


def judge(evidence: Evidence, policy: TierPolicy, kinds: Collection[str], engine: Engine) -> Judged:
    """Every deciding organisation, and affiliates of one of the kinds on their own row alone.

    An affiliate of another kind stays without: by itself it could hold no tier, and judging a million of them is work.
    A hospital alone needs no judging where no tier of the policy is open to one, whatever else were known of it. All
    are judged at once, unless they are each other's peers or one account is both.
    """
    closed = frozenset({"HOSPITAL"} if _is_closed_to_hospitals(policy, evidence.segments) else ())
    affiliates = engine.materialize(_affiliates(evidence, kinds))
    judged = _with_affiliates(evidence, policy, _alone(affiliates, set(kinds) - closed), engine)
    untiered = closed & set(kinds)
    if not untiered:
        return judged
    named = affiliates.filter(one_of(nw.col("kind"), untiered)).select(
        "account_id", closed_tier=nw.lit(policy.untiered)
    )
    joined = judged.tiers.join(named, on="account_id", how="left")
    told = joined.with_columns(standalone_tier=nw.coalesce("standalone_tier", "closed_tier")).drop("closed_tier")
    return replace(judged, tiers=told)


_LONE_HOSPITAL = ("INDEPENDENT_HOSPITAL", "CAH", "CAH_LIKELY")


def _is_closed_to_hospitals(policy: TierPolicy, segments: SegmentPolicy) -> bool:
    """True where every tier is known not to hold for one hospital alone, by its type and nothing else.

    What is false while all other facts are unknown stays false whatever they turn out to be.
    """
    rule = policy.classify.get("idn", {})
    fewest = (rule.get("or") or {}).get("hospitals_between", [2])[0]
    if segments.idn_profile != "seed" or min(int(rule.get("min_hospitals", 0)), int(fewest)) < 2:
        return False
    return all(_holds_no_tier(policy, org_type) for org_type in _LONE_HOSPITAL)


def _holds_no_tier(policy: TierPolicy, org_type: str) -> bool:
    known: dict[str, bool | None] = {}

    def fact(name: str) -> str | None:
        return org_type if name == "org_type" else None

    for one in parse_rules(policy.predicates):
        known[one.name] = evaluate(one.expr, fact, known.__getitem__)
    return all(evaluate(parse(tier.when), fact, known.__getitem__) is False for tier in policy.tiers)


def _with_affiliates(evidence: Evidence, policy: TierPolicy, alone: Frame, engine: Engine) -> Judged:
    if not engine.count(alone.head(1)):
        facts = classify(evidence, policy, engine)
        verdicts = judge_holders(facts, policy, engine)
        return _judged(facts, verdicts, None, evidence)
    if _apart(evidence, alone, engine):
        facts = classify(evidence, policy, engine)
        own = classify(replace(evidence, holders=alone), policy, engine)
        return _judged(facts, judge_holders(facts, policy, engine), judge_holders(own, policy, engine), evidence)
    columns = ("account_id", "system_account_id", "holder_account_id")
    everyone = stack([evidence.holders.select(*columns), alone.select(*columns)])
    whole = classify(replace(evidence, holders=everyone), policy, engine)
    judged = judge_holders(whole, policy, engine)
    deciding = evidence.holders.select(nw.col("holder_account_id").alias("account_id")).unique()
    facts = engine.materialize(whole.join(deciding, on="account_id", how="semi"))
    names = facts.select(nw.col("account_id").alias("holder_account_id"))
    verdicts = engine.materialize(judged.join(names, on="holder_account_id", how="semi"))
    return _judged(
        facts, verdicts, engine.materialize(judged.join(names, on="holder_account_id", how="anti")), evidence
    )


def _affiliates(evidence: Evidence, kinds: Collection[str]) -> Frame:
    """`account_id`, `kind` of accounts that another one decides for."""
    affiliates = evidence.holders.filter(nw.col("holder_account_id") != nw.col("account_id")).select("account_id")
    of_kind = with_kind(evidence.accounts).filter(one_of(nw.col("kind"), kinds)).select("account_id", "kind")
    return affiliates.join(of_kind, on="account_id", how="inner")


def _alone(affiliates: Frame, kinds: Collection[str]) -> Frame:
    """Affiliates of one of the kinds as if nobody decided for them: who they are, and who answers for them."""
    mine = nw.col("account_id")
    return affiliates.filter(one_of(nw.col("kind"), kinds)).select(mine, system_account_id=mine, holder_account_id=mine)


def _apart(evidence: Evidence, alone: Frame, engine: Engine) -> bool:
    """True where volumes rank organisations among their peers, or where an affiliate decides for others."""
    volumes = evidence.facts.filter(nw.col("fact").str.ends_with("_volume"))
    others = evidence.holders.select(nw.col("holder_account_id").alias("account_id")).unique()
    both = alone.join(others, on="account_id", how="semi")
    return bool(engine.count(volumes.head(1))) or bool(engine.count(both.head(1)))


def _judged(facts: Frame, verdicts: Frame, alone: Frame | None, evidence: Evidence) -> Judged:
    tiers = inherited(evidence.holders, verdicts)
    own = nw.when(nw.col("holder_account_id") == nw.col("account_id")).then(nw.col("tier"))
    if alone is None:
        return Judged(facts=facts, verdicts=verdicts, tiers=tiers.with_columns(own.alias("standalone_tier")))
    by_itself = alone.select(nw.col("holder_account_id").alias("account_id"), nw.col("tier").alias("alone_tier"))
    joined = tiers.join(by_itself, on="account_id", how="left")
    told = joined.with_columns(standalone_tier=nw.coalesce("alone_tier", own)).drop("alone_tier")
    return Judged(facts=facts, verdicts=verdicts, tiers=told)
