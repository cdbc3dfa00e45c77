"""A tier in words."""

from __future__ import annotations

from mappings.load import load
from sync.segmentation.telling import predicate_lines

POLICY = load().policies.tiers
LETTERS = "is_idn=T, icp_type=T, target_mod=T, target_strong=T, commercial=T, gov_heavy=F, non_con=T, no_gpo=U"
EVIDENCE = '{"org_type":{"is":"IDN","from":"7 hospitals"},"commercial_bp":{"is":"5500","from":"facts:f.csv:row 2"}}'


def test_each_predicate_has_its_truth_its_facts_their_source_and_what_would_change_it() -> None:
    told = list(predicate_lines(POLICY, LETTERS, EVIDENCE))
    assert "is_idn is true: org_type IDN [7 hospitals]" in told
    assert "commercial is true: commercial_bp 5500 (55 %) [facts:f.csv:row 2]" in told
    assert "no_gpo is unknown: gpo_covered unknown; true if gpo_covered is confirmed as false" in told
    assert told[-1] == "T1 would be earned by no_gpo alone"


def test_the_best_tier_leaves_nothing_to_earn() -> None:
    assert "earned" not in " ".join(predicate_lines(POLICY, LETTERS.replace("no_gpo=U", "no_gpo=T"), EVIDENCE))
