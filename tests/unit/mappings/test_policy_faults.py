"""A policy file with a fault is refused with its file, the line of the fault, what was expected, and what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from mappings.load import MappingError, load

SHIPPED = Path(__file__).parents[3] / "mappings/policies"


def problems(folder: Path, name: str, old: str, new: str) -> dict[int, str]:
    """What the loader says to a shipped file with one change: by line; and it names that file alone."""
    text = (SHIPPED / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{name}.yaml has {text.count(old)} times {old!r}"
    (folder / f"{name}.yaml").write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(MappingError) as caught:
        load(folder)
    assert {one.file for one in caught.value.problems} <= {f"{name}.yaml", f"policies/{name}.yaml"}
    return {one.line: str(one) for one in caught.value.problems}


def line_of(name: str, words: str) -> int:
    text = (SHIPPED / f"{name}.yaml").read_text(encoding="utf-8")
    return text[: text.index(words)].count("\n") + 1


CASES = {
    "an unknown fact": (
        ("tiers", "{gte: [commercial_bp, 5000]}", "{gte: [comercial_bp, 5000]}"),
        "commercial: {gte",
        ("unknown fact 'comercial_bp'", "known are", "Did you mean commercial_bp?"),
    ),
    "an unknown key": (
        ("hierarchy", "majority_bp: 5000", "majority_pb: 5000"),
        "majority_bp: 5000",
        ("majority_pb", "Did you mean majority_bp?"),
    ),
    "an unknown operator": (
        ("tiers", "{gt: [gov_bp, 6000]}", "{gtr: [gov_bp, 6000]}"),
        "gov_heavy: {gt",
        ("unknown operator 'gtr'", "known are eq, in", "Did you mean gt?"),
    ),
    "a value of the wrong type": (
        ("tiers", "{gt: [gov_bp, 6000]}", "{gt: [gov_bp, lots]}"),
        "gov_heavy: {gt",
        ("gt compares whole numbers", "'lots' is not a whole number"),
    ),
    "a word that never comes": (
        ("tiers", "{eq: [oncology_strength, STRONG]}", "{eq: [oncology_strength, STRNG]}"),
        "target_strong: {eq",
        ("STRNG", "Did you mean STRONG?"),
    ),
    "an unknown predicate": (
        ("tiers", "{all: [is_idn, target_strong, commercial, non_con, no_gpo]}}\n  - {id: T2",
         "{all: [is_idn, target_stron, commercial, non_con, no_gpo]}}\n  - {id: T2"),
        "- {id: T1",
        ("target_stron", "Did you mean target_strong?"),
    ),
    "tiers that do not imply one another": (
        ("tiers", "{all: [icp_type, target_mod, {at_least: [3,", "{all: [gov_heavy, target_mod, {at_least: [3,"),
        "- {id: T1",
        ("POLICY-NONMONOTONE: T1 does not imply T2", "with commercial_bp 5000"),
    ),
    "a rule that is shadowed": (
        ("routing", "default_queue: FIELD",
         "  - {id: late, when: {eq: [account_tier, T1]}, queue: Q}\ndefault_queue: FIELD"),
        "default_queue: FIELD",
        ("POLICY-UNREACHABLE", "'late' never decides"),
    ),
    "a segment that is shadowed": (
        ("segments", "include: {in: [org_type, [INDEPENDENT_HOSPITAL, CAH, CAH_LIKELY]]}",
         "include: {in: [org_type, [COMMUNITY_SYSTEM, IDN]]}"),
        "include: {in: [org_type, [INDEPENDENT_HOSPITAL, CAH, CAH_LIKELY]]}",
        ("POLICY-UNREACHABLE", "'community-hospitals' is never primary", "'regional-systems' comes first"),
    ),
    "a conflict without a rule": (
        ("holds", "  unassigned_lead:\n", "  unassigned_leed:\n"),
        "conflicts:\n",
        ("CONFLICT-POLICY-MISSING", "unassigned_lead"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_R60_T48_a_fault_is_told_with_its_place_and_a_way_out(tmp_path: Path, case: str) -> None:
    (name, old, new), place, words = CASES[case]
    found = problems(tmp_path, name, old, new)
    told = "\n".join(found.values())
    assert [word for word in words if word not in told] == [], told
    lines = [line for line, text in found.items() if words[0] in text]
    assert lines == [line_of(name, place)], told
