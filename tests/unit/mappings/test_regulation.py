"""What the law of a state asks on a day: the shipped facts, and what is unknown."""

from __future__ import annotations

from pathlib import Path

import pytest

from mappings.load import MappingError, load
from mappings.regulation import Expansion, Law, Practice, Regulation, law_on

LAW = load().law
STATES = 51


@pytest.mark.parametrize(
    ("state", "day", "expected"),
    [
        ("NC", "2023-11-30", "not_adopted"),
        ("NC", "2023-12-01", "adopted"),  # the first day of coverage, not of the vote
        ("MO", "2020-06-01", "not_adopted"),
        ("MO", "2022-12-01", "adopted"),
        ("TX", "2025-12-31", "not_adopted"),
    ],
)
def test_R27_an_expansion_counts_from_the_first_day_of_coverage(state: str, day: str, expected: str) -> None:
    assert {one.state: one.expansion for one in law_on(LAW, day)}[state] == expected


def test_R27_a_plan_of_2020_does_not_use_the_law_of_2025() -> None:
    then, now = ({one.state: one for one in law_on(LAW, day)} for day in ("2020-06-01", "2025-06-01"))
    assert (then["NY"].practice, now["NY"].practice) == ("reduced", "full")
    assert (then["OK"].expansion, now["OK"].expansion) == ("not_adopted", "adopted")
    assert {one.practice for one in law_on(LAW, "2019-12-31")} == {"unknown"}


def test_A2_texas_and_california_have_no_program_and_every_state_is_listed_once_a_day() -> None:
    held = {one.state: one.con["HOSPITAL"] for one in law_on(LAW, "2024-01-01")}
    repealed = {"CA", "CO", "ID", "KS", "NH", "NM", "ND", "PA", "SD", "TX", "UT", "WY"}
    assert len(held) == STATES
    assert {held[state] for state in repealed} == {"none"}
    assert {law.con["HOSPITAL"] for law in law_on(LAW, "2016-06-30") if law.state == "NH"} == {"CON"}


def test_R27_what_a_category_needs_comes_before_what_the_facility_needs_before_the_program() -> None:
    a_law = {"valid_from": "", "citation": "a law", "state": "MI"}
    con = (
        Regulation(con="none", **a_law),
        Regulation(con="quasi", facilities=("HOSPITAL",), **a_law),
        Regulation(con="CON", categories=("mri",), **a_law),
    )
    [plain] = law_on(Law(con=con), "2026-01-15")
    [by_kind] = law_on(Law(con=con, by_facility=True), "2026-01-15")
    [scanner] = law_on(Law(con=con, by_facility=True), "2026-01-15", "mri")
    assert (plain.con["HOSPITAL"], by_kind.con["HOSPITAL"], by_kind.con["ASC"]) == ("none", "quasi", "none")
    assert scanner.con["HOSPITAL"] == "CON"


def test_a_state_without_a_line_for_the_day_is_unknown() -> None:
    later = {"state": "KS", "valid_from": "2026-07-01", "citation": "a law"}
    law = Law(expansion=(Expansion(expanded="adopted", **later),), practice=(Practice(practice="full", **later),))
    assert law_on(law, "2026-06-30") == ()


def test_two_lines_for_the_same_days_are_refused(tmp_path: Path) -> None:
    packaged = (Path(__file__).parents[3] / "mappings/regulation.yaml").read_text(encoding="utf-8")
    twice = "medicaid_expansion:\n  - {state: TX, expanded: adopted, valid_from: 2025-01-01, citation: a law}\n"
    (tmp_path / "regulation.yaml").write_text(packaged.replace("medicaid_expansion:\n", twice), encoding="utf-8")
    with pytest.raises(MappingError, match="TX has two facts for the same days; close the earlier by valid_to"):
        load(tmp_path)
