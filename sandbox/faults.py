"""Faults on demand: what goes wrong, on which request, how often. Seeded, so that a run can be repeated."""

from __future__ import annotations

import dataclasses
import random
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Verb(StrEnum):
    """What happens to a matching request."""

    STATUS = "status"  # answered with `status` before anything is done
    STATUS_200_HTML = "status_200_html"  # a maintenance page with status 200; nothing is done
    RESET_BEFORE = "reset_before"  # the connection is closed; nothing is done
    COMMIT_THEN_RESET = "commit_then_reset"  # done, then the connection is closed without an answer
    COMMIT_THEN_500 = "commit_then_500"  # done, then answered with `status` (500 unless another is named)
    COMMIT_PARTIAL_THEN_RESET = "commit_partial_then_reset"  # `rows` rows are written, then the connection is closed
    LOCK_ROW = "lock_row"  # rows in `ids` (all rows when empty) are refused as locked
    PARTIAL = "partial"  # Salesforce: `rows` rows (those in `ids` when named, all when 0) are refused with `code`
    SLOW = "slow"  # answered after `seconds`
    STALE_READ = "stale_read"  # reads show what was there `seconds` ago
    # what becomes of a page of a listing
    EMPTY_PAGE = "empty_page"  # no records, and the listing ends; the announced total says more
    SHORT_PAGE = "short_page"  # half of the records, and the listing ends; the announced total says more
    DUP_PAGE = "dup_page"  # the records of the page before come again in place of this page's
    SKIP_PAGE = "skip_page"  # the page after comes in place of this one
    HUGE_JSON = "huge_json"  # the body grows by `rows` megabytes of blanks
    UNICODE_WEIRD = "unicode_weird"  # names come with combining, invisible and right-to-left characters
    # what changes from this request on
    EXPIRE_TOKEN = "expire_token"  # all access tokens of the system stop working
    REVOKE_TOKEN = "revoke_token"  # and nobody can log in again
    ROTATE_INSTANCE_URL = "rotate_instance_url"  # Salesforce: tokens die, logins name another address
    DROP_FIELD = "drop_field"  # Salesforce: Account has `field` no more
    RENAME_FIELD = "rename_field"  # Salesforce: `field` of Account is called `to`
    TYPE_CHANGE = "type_change"  # Salesforce: `field` of Account has the describe type `to`
    TRIGGER_REWRITE = "trigger_rewrite"  # Salesforce: a flow sets `fields` after every API write of an account
    CLOCK_SKEW = "clock_skew"  # the clock of the sandbox goes forward by `seconds`
    # what a person does at this moment to the records in `ids`, or to those the request names
    HUMAN_EDIT = "human_edit"  # writes `fields`
    HUMAN_DELETE = "human_delete"
    HUMAN_MERGE = "human_merge"  # Salesforce: merges them into the account `to`


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
    rows: int = 0
    code: str = "UNKNOWN_EXCEPTION"
    field: str = ""
    to: str = ""
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    by: str = ""  # native id of the person; "" = somebody
    stream: str = ""  # name of the stream of chance; rules of one name and seed draw alike

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
    chance: random.Random  # of its own: another rule does not change what this one draws
    seen: int = 0
    fired: int = 0


@dataclass(slots=True)
class FaultBook:
    """The rules in force, in the order they were added. Thread-safe."""

    seed: int = 0
    _rules: list[_Rule] = dataclasses.field(default_factory=list)
    _lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    def add(self, fault: Fault) -> None:
        """Put a rule in force."""
        with self._lock:
            stream = fault.stream or len(self._rules)
            self._rules.append(_Rule(fault, random.Random(f"fault:{self.seed}:{stream}")))

    def clear(self) -> None:
        """Take all rules out of force."""
        with self._lock:
            self._rules.clear()

    def knows(self, verb: Verb) -> bool:
        """True while a rule of the verb is in force, spent or not."""
        with self._lock:
            return any(rule.fault.verb is verb for rule in self._rules)

    def fired(self) -> int:
        """How often the rules in force have struck."""
        with self._lock:
            return sum(rule.fired for rule in self._rules)

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
            if rule.chance.random() >= fault.probability:
                continue
            rule.fired += 1
            yield fault
