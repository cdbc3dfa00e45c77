"""Who takes over whose accounts: a list in its own file, checked row by row."""

from __future__ import annotations

from pathlib import Path

import pytest

from mappings.load import MappingError, load
from mappings.successors import heirs, read_successors
from mappings.versions import content_of

HEADER = "from-user,to-user,reason,from-date\n"
GOOD = HEADER + "Maria@x.example,priya@x.example,left,2026-12-01\nken@x.example,maria@x.example,book moved,\n"


def test_a_list_is_read_with_its_lines() -> None:
    rows, problems = read_successors(GOOD, "owners.csv")
    assert problems == ()
    assert [(one.from_user, one.to_user, one.from_date, one.source) for one in rows] == [
        ("maria@x.example", "priya@x.example", "2026-12-01", "owners.csv:2"),
        ("ken@x.example", "maria@x.example", "", "owners.csv:3"),
    ]


def test_successors_are_followed_to_the_last_one_who_has_taken_over() -> None:
    rows, _ = read_successors(GOOD, "owners.csv")
    before, after = heirs(rows, "2026-11-30"), heirs(rows, "2026-12-01")
    assert {name: one.to_user for name, one in before.items()} == {"ken@x.example": "maria@x.example"}
    assert {name: one.to_user for name, one in after.items()} == dict.fromkeys(
        ("ken@x.example", "maria@x.example"), "priya@x.example"
    )
    assert after["ken@x.example"].reason == "book moved"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    {
        "other columns": ("from,to\n", 1, "the columns are from, to; expected from-user, to-user, reason, from-date"),
        "a cell too few": (HEADER + "a@x.example,b@x.example,left\n", 2, "3 cells; expected 4"),
        "a name that is no address": (HEADER + "maria,b@x.example,left,\n", 2, "from-user 'maria' is not an e-mail"),
        "no reason": (HEADER + "a@x.example,b@x.example, ,\n", 2, "the reason is empty"),
        "a day that is none": (HEADER + "a@x.example,b@x.example,left,1 Dec\n", 2, "'1 Dec' is not a date"),
        "two successors": (
            HEADER + "a@x.example,b@x.example,left,\n\nA@x.example,c@x.example,left,\n",
            4,
            "a@x.example has a successor already, in line 2",
        ),
        "a circle": (
            HEADER + "a@x.example,b@x.example,left,\nb@x.example,a@x.example,back,\n",
            2,
            "the successors of a@x.example lead back to a@x.example",
        ),
    }.values(),
)
def test_what_is_wrong_is_told_with_its_line(text: str, line: int, words: str) -> None:
    _, problems = read_successors(text, "owners.csv")
    assert (problems[0].line, words in problems[0].fact) == (line, True), problems


def overlay(folder: Path, name: str = "owners.csv", *, field: str = "owner", text: str | None = GOOD) -> Path:
    shipped = (Path(__file__).parents[3] / "mappings/policies/conflicts.yaml").read_text(encoding="utf-8")
    first = {"owner": "{group: ownership,", "parent": "{group: hierarchy,"}[field]
    changed = shipped.replace(first, f"{first} successor_map: {name},", 1)
    (folder / "conflicts.yaml").write_text(changed, encoding="utf-8")
    if text is not None:
        (folder / "owners.csv").write_text(text, encoding="utf-8")
    return folder


def problems_of(folder: Path) -> list[str]:
    with pytest.raises(MappingError) as refused:
        load(folder)
    return [str(problem) for problem in refused.value.problems]


def test_the_policy_names_its_list_and_the_digest_names_the_rows(tmp_path: Path) -> None:
    folder = overlay(tmp_path)
    before = load(folder)
    assert [one.to_user for one in before.policies.conflicts.successors] == ["priya@x.example", "maria@x.example"]
    (folder / "owners.csv").write_text(GOOD.replace("left", "retired"), encoding="utf-8")
    after = load(folder)
    assert before.digest != after.digest
    assert content_of(before.policies, "conflicts") == content_of(after.policies, "conflicts")


def test_a_list_that_is_not_there_and_a_list_for_another_field_are_problems(tmp_path: Path) -> None:
    told = problems_of(overlay(tmp_path, "gone.csv", text=None))
    assert any("conflicts.yaml:" in one and "gone.csv is not in the folder of your mappings" in one for one in told)
    told = problems_of(overlay(tmp_path, field="parent"))
    assert any("parent has no successors" in one for one in told)


def test_a_successor_who_is_not_on_the_roster_is_a_problem(tmp_path: Path) -> None:
    roster = "policy: {id: r, version: 1, owner: us, effective_from: 2020-01-01}\nreps:\n"
    roster += "  - {email: prya@x.example, name: P, role: PRIMARY, states: [TX]}\n"
    (tmp_path / "reps.yaml").write_text(roster, encoding="utf-8")
    told = problems_of(overlay(tmp_path))
    assert "owners.csv:2: priya@x.example is not in reps.yaml. Did you mean prya@x.example?" in told
