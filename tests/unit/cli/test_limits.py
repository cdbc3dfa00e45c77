"""Passed limits are told once per guard, in the words a person needs to go on."""

from __future__ import annotations

import pytest

from jobs.cli.exits import Exit, Stop
from jobs.cli.limits import SUBJECTS_SHOWN, limit_lines, stopped
from jobs.cli.selecting import day
from jobs.present import Names
from sync.world import GuardResult


def _passed(guard: str, subject: str, measured: int, limit: int = 0) -> GuardResult:
    message = f"{subject}: {measured} of 100, limit {limit}. Nothing is written until somebody accepts it; look at it."
    return GuardResult(
        guard=guard, subject=subject, measured=measured, population=100, limit=limit, breached=True, message=message
    )


def test_many_fields_of_one_guard_are_one_paragraph_per_guard_and_a_line_per_crm() -> None:
    fields = [_passed("first_contact", f"{crm}:{name}", 7) for crm in ("salesforce", "hubspot") for name in ("a", "b")]
    assert list(limit_lines(fields)) == [
        "▲ first_contact: values are set where nothing was ever agreed, limit 0",
        "    hubspot: a 7 of 100 · b 7 of 100",
        "    salesforce: a 7 of 100 · b 7 of 100",
        "    Look at it. To let it through once: platbook apply --accept-guard first_contact --reason ...",
    ]


def test_limits_that_differ_stand_beside_each_number() -> None:
    lines = list(limit_lines([_passed("any_field", "s:a", 7, 5), _passed("any_field", "s:b", 9, 6)]))
    assert lines[1] == "    s: a 7 of 100 (limit 5) · b 9 of 100 (limit 6)"


def test_a_guard_about_a_person_names_the_person() -> None:
    names = Names(users={("s", "005x"): ("Maria Lopez", "maria@acme.example")})
    lines = list(limit_lines([_passed("owner_lost_by_rep", "s:005x", 31, 20)], names))
    assert lines[1] == "    s: Maria Lopez 31 of 100"


def test_more_subjects_than_fit_a_line_are_counted() -> None:
    many = [_passed("any_field", f"s:f{number:02}", 7) for number in range(SUBJECTS_SHOWN + 3)]
    assert list(limit_lines(many))[1].endswith(" · and 3 more")


def test_a_stopped_apply_says_that_nothing_was_written() -> None:
    told = stopped("plan P-1", [_passed("clears", "s", 1)])
    assert told.startswith("plan P-1: stopped by a guard, nothing was written\n  ▲ clears: agreed values are emptied")


@pytest.mark.parametrize("text", ["tomorrow", "2026-02-30", "20260131", "2026-1-1", ""])
def test_what_is_no_day_ends_the_command(text: str) -> None:
    with pytest.raises(Stop, match="YYYY-MM-DD") as stop:
        day(text, "--as-of")
    assert stop.value.code is Exit.USAGE


@pytest.mark.parametrize("text", ["2026-01-31", None])
def test_a_day_is_taken_as_it_is_written(text: str | None) -> None:
    assert day(text, "--as-of") == text
