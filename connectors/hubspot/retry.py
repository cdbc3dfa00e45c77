"""How long to wait and when to give up; and a pace that keeps below HubSpot's limits so that waiting stays rare."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import tenacity

from connectors.errors import ConnectorError, Retriable
from connectors.hubspot.responses import Lost

BURST_WINDOW_S = 10.0
SEARCH_WINDOW_S = 1.0
UNREACHABLE = "UNREACHABLE"
UNREACHABLE_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Limits of one request's attempts."""

    attempts: int = 8
    budget_s: float = 120.0  # all waits of one request together


def wait_s(error: ConnectorError, attempt: int, chance: float) -> float:
    """Seconds before attempt number `attempt` + 1; `chance` in 0..1 spreads the callers."""
    if error.retry_after_s is not None:
        return error.retry_after_s + chance  # the server's word, and never all callers in the same instant
    if error.code == "TEN_SECONDLY_ROLLING":  # a rolling window of ten seconds: by then it is certainly free
        return min(10.0, 4.0 * attempt + 2.0 * chance)
    if error.code in {"SECONDLY", "RATE_LIMITS"}:
        return attempt * (1.0 + 0.25 * chance)
    if "423" in error.code or error.code == "LOCKED":
        return 2.0 * attempt + chance
    return float(min(20.0, 0.4 * 2**attempt) * (0.5 + 0.5 * chance))


def retrying(
    policy: RetryPolicy,
    *,
    resend_lost: bool,
    sleep: Callable[[float], None],
    chance: Callable[[], float],
    on_retry: Callable[[], None],
) -> tenacity.Retrying:
    """A loop that sends again what may be sent again. A write whose answer was lost is not (`resend_lost` False)."""

    def again(error: BaseException) -> bool:
        return isinstance(error, Retriable) and (resend_lost or not isinstance(error, Lost))

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        return wait_s(error, state.attempt_number, chance()) if isinstance(error, ConnectorError) else 0.0

    def spent(state: tenacity.RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, Retriable) and error.code == UNREACHABLE and state.attempt_number >= UNREACHABLE_ATTEMPTS:
            return True  # nobody listens: the address is wrong more often than the network is slow
        over = state.idle_for + state.upcoming_sleep > policy.budget_s
        return over or state.attempt_number >= policy.attempts

    def noted(_: tenacity.RetryCallState) -> None:
        on_retry()

    settings: dict[str, Any] = {"retry": tenacity.retry_if_exception(again), "before_sleep": noted}
    return tenacity.Retrying(wait=wait, stop=spent, sleep=sleep, reraise=True, **settings)


class Pacer:
    """Lets at most `limit` requests start in any `window_s`; a limit of 0 lets everything pass. Thread-safe."""

    def __init__(
        self, limit: int, window_s: float, *, sleep: Callable[[float], None], clock: Callable[[], float]
    ) -> None:
        self._limit, self._window_s = limit, window_s
        self._sleep, self._clock = sleep, clock
        self._starts: deque[float] = deque()
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when the next request may start. The slot is taken before the sleep, so threads do not collide."""
        if not self._limit:
            return
        with self._lock:
            now = self._clock()
            start = now
            if len(self._starts) == self._limit:
                start = max(now, self._starts.popleft() + self._window_s)
            self._starts.append(start)
        if start > now:
            self._sleep(start - now)
