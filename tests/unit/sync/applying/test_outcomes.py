from __future__ import annotations

import pytest

from sync.applying.outcomes import (
    Doubt,
    Intent,
    Seen,
    Standing,
    judge_doubt,
    mismatch,
    moved_fields,
    stand,
    to_send,
)

BEFORE = {"owner": "005A", "territory": None}
WANT = {"owner": "005B", "territory": "west"}
INTENT = Intent(pre_image=BEFORE, want=WANT, version="v1")


@pytest.mark.parametrize(
    ("seen", "standing"),
    [
        (None, Standing.GONE),
        ({"owner": "005B", "territory": "west"}, Standing.REACHED),
        ({"owner": "005A", "territory": ""}, Standing.UNCHANGED),
        ({"owner": "005A", "territory": "west"}, Standing.UNCHANGED),
        ({"owner": "005C", "territory": None}, Standing.MOVED),
    ],
)
def test_a_record_stands_by_what_it_says_now(seen: dict[str, str | None] | None, standing: Standing) -> None:
    assert stand(seen, before=BEFORE, want=WANT) is standing


def test_only_fields_that_are_not_as_wanted_yet_travel() -> None:
    assert to_send({"owner": "005A", "territory": "west"}, want=WANT) == {"owner": "005B"}
    assert to_send({"owner": ""}, want={"owner": None}) == {}


def test_the_fields_somebody_else_moved_are_named() -> None:
    assert moved_fields({"owner": "005C", "territory": "east"}, before=BEFORE, want=WANT) == ("owner", "territory")


def test_a_doubtful_row_that_reads_as_wanted_is_verified_even_when_the_plan_expired() -> None:
    assert judge_doubt(INTENT, Seen(values=WANT, version="v9"), plan_expired=True) is Doubt.VERIFIED


def test_an_untouched_record_may_be_sent_to_again_while_the_plan_is_fresh() -> None:
    seen = Seen(values=BEFORE, version="v1")
    assert judge_doubt(INTENT, seen, plan_expired=False) is Doubt.RESEND
    assert judge_doubt(INTENT, seen, plan_expired=True) is Doubt.STALE


@pytest.mark.parametrize(
    "seen",
    [
        Seen(values=BEFORE, version="v2"),  # our write may have landed and been put back by a person
        Seen(values={"owner": "005C", "territory": None}, version="v1"),
        Seen(values={"owner": "005B", "territory": None}, version="v1"),  # half of it: not as we saw it
    ],
)
def test_a_record_that_moved_is_never_sent_to_unread(seen: Seen) -> None:
    assert judge_doubt(INTENT, seen, plan_expired=False) is Doubt.STALE


def test_a_newer_history_entry_counts_as_a_moved_version() -> None:
    seen = Seen(values=BEFORE, version="v1")
    assert judge_doubt(INTENT, seen, plan_expired=False, moved_since=True) is Doubt.STALE


def test_a_record_that_is_gone_is_gone() -> None:
    assert judge_doubt(INTENT, None, plan_expired=False) is Doubt.GONE


def test_a_value_that_reads_back_otherwise_is_a_mismatch_with_what_it_became() -> None:
    assert mismatch({"owner": "005B", "territory": "east"}, want=WANT) == {"territory": "east"}
    assert mismatch({"owner": "005B", "territory": "west"}, want=WANT) == {}
