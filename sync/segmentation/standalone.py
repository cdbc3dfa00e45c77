"""The tier an affiliate would have by itself, beside the one it has from whoever decides for it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import narwhals as nw

from mappings.policy import TierPolicy
from sync.engine import Engine, Frame
from sync.frames import one_of
from sync.segmentation.classify import Evidence, classify
from sync.segmentation.members import with_traits
from sync.segmentation.tiers import judge_holders


def with_standalone(
    tiers: Frame, evidence: Evidence, policy: TierPolicy, kinds: Collection[str], engine: Engine
) -> Frame:
    """TIERS with `standalone_tier`: an affiliate of one of the kinds is judged on its own row alone.

    An affiliate of another kind stays without: by itself it could hold no tier, and judging a million of them is work.
    Lazy beyond the verdicts.
    """
    of_kind = with_traits(evidence.accounts).filter(one_of(nw.col("kind"), kinds)).select("account_id")
    affiliates = evidence.holders.filter(nw.col("holder_account_id") != nw.col("account_id"))
    alone = engine.materialize(
        affiliates.join(of_kind, on="account_id", how="semi").with_columns(
            system_account_id=nw.col("account_id"), holder_account_id=nw.col("account_id")
        )
    )
    own = nw.when(nw.col("holder_account_id") == nw.col("account_id")).then(nw.col("tier"))
    if not engine.count(alone.head(1)):
        return tiers.with_columns(own.alias("standalone_tier"))
    facts = classify(replace(evidence, holders=alone), policy, engine)
    verdicts = judge_holders(facts, policy, engine).select(
        nw.col("holder_account_id").alias("account_id"), nw.col("tier").alias("alone_tier")
    )
    joined = tiers.join(engine.materialize(verdicts), on="account_id", how="left")
    return joined.with_columns(standalone_tier=nw.coalesce("alone_tier", own)).drop("alone_tier")
