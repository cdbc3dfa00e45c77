"""Policies of scores, segments and KPIs: what is refused, what is assumed, and a change without a new version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mappings.assumptions import assumptions
from mappings.load import MappingError, load
from mappings.versions import content_of, differences, versions

SHIPPED = Path(__file__).parents[3] / "mappings/policies"
MAPPINGS = load()


def refused(tmp_path: Path, name: str, change: Any) -> str:
    """What the loader says to a packaged policy with one change."""
    policy = yaml.safe_load((SHIPPED / f"{name}.yaml").read_text(encoding="utf-8").replace('"ON"', "'ON'"))
    policy["policy"]["effective_from"] = str(policy["policy"]["effective_from"])
    change(policy)
    (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(policy, default_flow_style=False), encoding="utf-8")
    with pytest.raises(MappingError) as caught:
        load(tmp_path)
    return str(caught.value)


def texts(policy: dict[str, Any]) -> None:
    """Dates as text: plain YAML reads them as dates."""
    for alias in policy["purchasing"]["aliases"]:
        alias["since"] = str(alias["since"])


def test_T48_tiers_of_which_the_better_does_not_imply_the_next_are_refused(tmp_path: Path) -> None:
    def only_surgery_centers(policy: dict[str, Any]) -> None:
        policy["tiers"][1]["when"] = {"eq": ["org_type", "ASC"]}

    told = refused(tmp_path, "tiers", only_surgery_centers)
    assert "POLICY-NONMONOTONE: T1 does not imply T2" in told
    assert "tiers.yaml:" in told


def test_a_routing_rule_that_can_never_decide_is_refused(tmp_path: Path) -> None:
    def again(policy: dict[str, Any]) -> None:
        policy["rules"].append({"id": "late", "when": {"eq": ["account_tier", "T1"]}, "queue": "Q"})

    assert "POLICY-UNREACHABLE: rule 'late' never decides" in refused(tmp_path, "routing", again)


def test_weights_that_do_not_make_a_whole_are_refused(tmp_path: Path) -> None:
    def heavier(policy: dict[str, Any]) -> None:
        policy["dimensions"]["fit"]["weight"] = 41

    assert "the weights of the dimensions sum to 101; expected 100" in refused(tmp_path, "scores", heavier)


def test_an_unknown_feature_is_refused_with_the_one_that_was_meant(tmp_path: Path) -> None:
    def misspelt(policy: dict[str, Any]) -> None:
        features = policy["dimensions"]["fit"]["features"]
        features["stregth"] = features.pop("strength")

    told = refused(tmp_path, "scores", misspelt)
    assert "unknown feature 'stregth'" in told
    assert "Did you mean strength?" in told


def test_R70_R76_a_segment_needs_two_owners_known_facts_and_a_rule_of_its_own(tmp_path: Path) -> None:
    def worse(policy: dict[str, Any]) -> None:
        texts(policy)
        first, second = policy["segments"][1], policy["segments"][2]
        first["data_owner"] = first["owner"]
        second["include"] = {"in": ["org_type", ["IDN"]]}
        policy["segments"][3]["include"] = {"eq": ["org_typ", "ASC"]}

    told = refused(tmp_path, "segments", worse)
    assert "owns both definition and data" in told
    assert "POLICY-UNREACHABLE: segment 'community-hospitals' is never primary: 'regional-systems'" in told
    assert "unknown fact 'org_typ'" in told


def test_R65_twelve_segments_with_territories_are_refused(tmp_path: Path) -> None:
    def many(policy: dict[str, Any]) -> None:
        texts(policy)
        one = policy["segments"][0]
        rules = [{"gte": ["beds", n]} for n in range(12)]
        policy["segments"] = [{**one, "id": f"s{n}", "include": rule, "sources": {}} for n, rule in enumerate(rules)]

    assert "FM4-SEGMENTS: 12 segments carry territories" in refused(tmp_path, "segments", many)


def test_every_report_says_what_is_assumed_and_where_to_change_it() -> None:
    topics = {one.topic: one for one in assumptions(MAPPINGS)}
    assert topics["Medicare Advantage"].says == "counts as medicare"
    assert "fit 40, behavior 25, tech 15, relationship 20" in topics["score weights"].says
    assert all(one.file and one.says for one in topics.values())


def test_R71_a_changed_segment_has_another_digest_and_only_it() -> None:
    segments = MAPPINGS.policies.segments
    changed = segments.segments[0].model_copy(update={"include": {"eq": ["account_tier", "T2"]}})
    policies = MAPPINGS.policies.model_copy(
        update={"segments": segments.model_copy(update={"segments": (changed, *segments.segments[1:])})}
    )
    before = {one.policy: one.digest for one in versions(MAPPINGS.policies)}
    after = {one.policy: one.digest for one in versions(policies)}
    assert {name for name in before if before[name] != after[name]} == {f"segments/{changed.id}"}
    told = list(differences(content_of(MAPPINGS.policies, "segments"), content_of(policies, "segments")))
    assert told == [
        ("segments.strategic-systems.include.any", segments.segments[0].include["any"], None),
        ("segments.strategic-systems.include.eq", None, ["account_tier", "T2"]),
    ]
