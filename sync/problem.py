"""A problem with data: a value that is collected and shown with others, never an exception."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a problem keeps from going on."""

    ERROR = "error"  # nothing may be applied while it stands
    REVIEW = "review"  # a person should look; the rest goes on
    INFO = "info"  # worth knowing


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong or doubtful in the data, with the rows that show it."""

    code: str  # stable, upper case with dashes: PARENT-CYCLE
    severity: Severity
    subject: str  # what it is about, for people
    fact: str  # what was found
    remedy: str  # what a person can do
    refs: tuple[str, ...] = ()  # account ids, record ids or "file:row", sorted
