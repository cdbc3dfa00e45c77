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
    assert told[-2:] == ["T1 would be earned by no_gpo alone", "T2 would be lost without icp_type or target_mod"]


def test_the_best_tier_leaves_nothing_to_earn() -> None:
    assert "earned" not in " ".join(predicate_lines(POLICY, LETTERS.replace("no_gpo=U", "no_gpo=T"), EVIDENCE))


def test_where_no_predicate_suffices_alone_the_fewest_that_do_are_told() -> None:
    letters = "is_idn=F, icp_type=T, target_mod=T, target_strong=F, commercial=T, gov_heavy=F, non_con=F, no_gpo=U"
    told = [line for line in predicate_lines(POLICY, letters, EVIDENCE) if "earned" in line or "lost" in line]
    assert told == [
        "T1 would be earned by is_idn with no_gpo with non_con with target_strong",
        "T2 would be earned by is_idn with no_gpo or is_idn with non_con or is_idn with target_strong or "
        "no_gpo with non_con or no_gpo with target_strong",
        "T3 would be earned by is_idn or no_gpo or non_con or target_strong alone",
    ]


def test_a_tier_that_hangs_on_one_predicate_says_so() -> None:
    letters = "is_idn=F, icp_type=T, target_mod=F, target_strong=F, commercial=T, gov_heavy=F, non_con=T, no_gpo=F"
    told = list(predicate_lines(POLICY, letters, EVIDENCE))
    assert told[-1] == "T3 would be lost without commercial or icp_type or non_con"
