"""Patience has limits, and a write is repeated only when it is known not to have happened."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.errors import Fatal, Rejected, Retriable, Stale
from connectors.salesforce.retry import LostAnswer, RetryPolicy, may_repeat


def _busy(after_s: float | None = None) -> Retriable:
    return Retriable("busy", system="salesforce", retry_after_s=after_s)


@pytest.mark.parametrize(
    ("error", "read", "write"),
    [
        (Retriable("x", system="s"), True, True),
        (LostAnswer("x", system="s"), True, False),
        (Retriable("x", system="s", code="INVALID_QUERY_LOCATOR"), False, False),
        (Fatal("x", system="s"), False, False),
        (Rejected("x", system="s"), False, False),
        (Stale("x", system="s"), False, False),
        (KeyError("x"), False, False),
    ],
)
def test_what_may_be_repeated(error: Exception, read: bool, write: bool) -> None:
    assert (may_repeat(error, is_write=False), may_repeat(error, is_write=True)) == (read, write)


def test_patience_ends_with_the_last_error_after_the_last_try(policy: RetryPolicy, fake_time: Any) -> None:
    tries: list[int] = []

    def attempt() -> None:
        tries.append(1)
        raise Retriable(f"busy {len(tries)}", system="salesforce")

    with pytest.raises(Retriable, match="busy 4"):
        policy.run(attempt, is_write=False, on_retry=lambda: None)

    assert len(tries) == 4
    assert len(fake_time.slept) == 3


@given(
    waits=st.lists(st.one_of(st.none(), st.floats(0, 200)), min_size=1, max_size=8),
    draw=st.floats(0, 1),
)
@settings(max_examples=80)
def test_no_wait_is_shorter_than_asked_and_all_together_fit_the_budget(waits: list[float | None], draw: float) -> None:
    slept: list[float] = []
    policy = RetryPolicy(
        tries=8, base_s=1, cap_s=4, budget_s=100, sleep=slept.append, jitter=lambda low, high: low + draw * (high - low)
    )
    errors = iter(waits)

    def attempt() -> str:
        try:
            raise _busy(next(errors))
        except StopIteration:
            return "done"

    try:
        policy.run(attempt, is_write=True, on_retry=lambda: None)
    except Retriable:
        assert len(slept) < len(waits)
    assert sum(slept) <= 100
    for place, (wait, asked) in enumerate(zip(slept, waits, strict=False)):
        assert (asked or 0) <= wait <= (asked or 0) + min(4, 2**place)


def test_a_policy_without_a_try_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one try"):
        RetryPolicy(tries=0)
