"""Faults on demand: what goes wrong, on which request, how often. Seeded, so that a run can be repeated."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum


class Verb(StrEnum):
    """What happens to a matching request."""

    STATUS = "status"  # answered with `status` before anything is done
    STATUS_200_HTML = "status_200_html"  # a maintenance page with status 200; nothing is done
    RESET_BEFORE = "reset_before"  # the connection is closed; nothing is done
    COMMIT_THEN_RESET = "commit_then_reset"  # done, then the connection is closed without an answer
    COMMIT_THEN_500 = "commit_then_500"  # done, then answered with `status` (500 unless another is named)
    EXPIRE_TOKEN = "expire_token"  # all access tokens of the system stop working, from this request on
    LOCK_ROW = "lock_row"  # rows in `ids` (all rows when empty) are refused as locked
    SLOW = "slow"  # answered after `seconds`


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One rule. Unset conditions match everything; `nth` and `probability` narrow a rule that otherwise matches."""

    verb: Verb
    system: str = ""  # salesforce or hubspot
    method: str = ""
    route: str = ""  # regular expression searched in the path
    nth: int = 0  # only the nth matching request, counted from 1 since the rule was added; 0 = any
    probability: float = 1.0
    times: int = 1  # how often it fires at most; 0 = without end
    status: int = 0
    retry_after: float | None = None  # seconds, sent as Retry-After
    seconds: float = 0.0
    ids: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"probability of a fault is {self.probability}; it lies between 0 and 1")
        re.compile(self.route)

    def covers(self, system: str, method: str, path: str) -> bool:
        """True when the rule speaks of such a request."""
        return (
            self.system in ("", system)
            and self.method.upper() in ("", method.upper())
            and re.search(self.route, path) is not None
        )


@dataclass(slots=True)
class _Rule:
    fault: Fault
    seen: int = 0
    fired: int = 0


@dataclass(slots=True)
class FaultBook:
    """The rules in force, in the order they were added. Thread-safe."""

    seed: int = 0
    _rules: list[_Rule] = field(default_factory=list)
    _random: random.Random = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def add(self, fault: Fault) -> None:
        """Put a rule in force."""
        with self._lock:
            self._rules.append(_Rule(fault))

    def clear(self) -> None:
        """Take all rules out of force."""
        with self._lock:
            self._rules.clear()

    def draw(self, system: str, method: str, path: str) -> tuple[Fault, ...]:
        """The faults that strike this request. Counts the request against every rule that covers it."""
        with self._lock:
            return tuple(self._struck(rule for rule in self._rules if rule.fault.covers(system, method, path)))

    def _struck(self, rules: Iterable[_Rule]) -> Iterable[Fault]:
        for rule in rules:
            rule.seen += 1
            fault = rule.fault
            if fault.nth and rule.seen != fault.nth:
                continue
            if fault.times and rule.fired >= fault.times:
                continue
            if self._random.random() >= fault.probability:
                continue
            rule.fired += 1
            yield fault
