"""When a Salesforce request may be repeated, and how long to wait before it is.

Full jitter below a doubling ceiling, never earlier than Retry-After, at most `tries` requests and `budget_s`
of waiting.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception

from connectors.errors import Retriable

T = TypeVar("T")

_RANDOM = random.SystemRandom()
_ONLY_BY_STARTING_OVER = frozenset({"INVALID_QUERY_LOCATOR"})


class LostAnswer(Retriable):
    """The request left and its answer did not come: a write may or may not have happened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How patient a session is. Times in seconds; `sleep`, `clock` and `jitter` are replaceable for tests."""

    tries: int = 8
    base_s: float = 0.5
    cap_s: float = 30.0
    budget_s: float = 120.0  # all waiting for one request together
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[float, float], float] = _RANDOM.uniform

    def __post_init__(self) -> None:
        if self.tries < 1 or self.budget_s < 0:
            raise ValueError("a retry policy needs at least one try and no negative budget")

    def run(self, attempt: Callable[[], T], *, is_write: bool, on_retry: Callable[[], None]) -> T:
        """Give the result of the first attempt that succeeds; raise the last error when patience ends.

        A write is repeated only after a refusal that proves it did not happen: a lost answer ends it at once.
        """
        retrying = Retrying(
            retry=retry_if_exception(lambda error: may_repeat(error, is_write=is_write)),
            wait=self._wait,
            stop=self._is_spent,
            sleep=self.sleep,
            before_sleep=lambda _state: on_retry(),
            reraise=True,
        )
        return retrying(attempt)

    def _wait(self, state: RetryCallState) -> float:
        ceiling = min(self.cap_s, self.base_s * 2 ** (state.attempt_number - 1))
        asked = _asked_wait_s(state)
        return asked + self.jitter(0.0, ceiling)

    def _is_spent(self, state: RetryCallState) -> bool:
        return state.attempt_number >= self.tries or state.idle_for + state.upcoming_sleep > self.budget_s


def may_repeat(error: BaseException, *, is_write: bool) -> bool:
    """Tell whether sending the same request again is both safe and sensible."""
    if not isinstance(error, Retriable) or error.code in _ONLY_BY_STARTING_OVER:
        return False
    return not (is_write and isinstance(error, LostAnswer))


def _asked_wait_s(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return (error.retry_after_s or 0.0) if isinstance(error, Retriable) else 0.0
