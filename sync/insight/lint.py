"""What a lint finding is: evidence rows, the command that helps, and who muted it until when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from mappings.policy import Mappings
from sync.engine import Engine, Frame
from sync.insight.kpi import Kpi
from sync.insight.standing import Found
from sync.problem import Problem

Row = Mapping[str, Any]
EVERYTHING = "*"


class Level(StrEnum):
    """How serious a finding is."""

    ERROR = "ERROR"  # breaks a rule the business relies on
    WARN = "WARN"  # will become one
    INFO = "INFO"  # worth knowing


@dataclass(frozen=True, slots=True, kw_only=True)
class Lint:
    """One lint with what it found. Every row has `subject`, the word by which it is muted."""

    id: str
    level: Level
    title: str
    rows: tuple[Row, ...]
    fix: str  # command or step that removes it
    muted: tuple[Row, ...] = ()  # rows set aside, with reason and until
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """A lint that a person muted, for one subject or for all."""

    lint: str
    subject: str  # EVERYTHING = every row
    reason: str
    by: str
    until: str  # ISO date, the last day


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What lints look at."""

    found: Found
    standing: Frame  # STANDING
    kpis: Sequence[Kpi]
    problems: Sequence[Problem]
    mappings: Mappings
    expired_holds: Sequence[Row] = ()  # HOLDS whose last day has passed and that nobody released
    unknown_authority: Sequence[Row] = ()  # first-tier accounts whose decider is only assumed: account_id, name, level
    late: Sequence[Row] = ()  # LATENCY rows past the deadline
    moves: Sequence[
        Row
    ] = ()  # changes of ownership: account_id, effective_date, old, new; below the organisation as well
    leads: Sequence[Row] = ()  # decisions on leads: id, lead_id, as_of, assignee, account_id
    past_owners: Mapping[str, Sequence[str]] = field(default_factory=dict)  # account -> e-mails its history shows


def evidence(table: Frame, columns: Sequence[str], engine: Engine) -> tuple[Row, ...]:
    """Rows of a table with `account_id` as evidence, sorted by it."""
    rows = sorted(engine.rows(table.select("account_id", *columns)), key=lambda row: row["account_id"])
    return tuple({"subject": row["account_id"], **{name: row[name] for name in columns}} for row in rows)


def suppressed(lints: Iterable[Lint], suppressions: Iterable[Suppression], as_of: str) -> tuple[Lint, ...]:
    """Lints with muted rows set aside. A suppression holds until the end of its last day, then the rows come back."""
    standing: dict[tuple[str, str], Suppression] = {}
    for one in sorted(suppressions, key=lambda s: (s.until, s.reason)):
        if one.until >= as_of:
            standing[one.lint, one.subject] = one
    return tuple(_set_aside(lint, standing) for lint in lints)


def _set_aside(lint: Lint, standing: Mapping[tuple[str, str], Suppression]) -> Lint:
    shown, muted = [], []
    for row in lint.rows:
        own = standing.get((lint.id, str(row["subject"]))) or standing.get((lint.id, EVERYTHING))
        if own is None:
            shown.append(row)
        else:
            muted.append({**row, "muted_because": own.reason, "muted_by": own.by, "muted_until": own.until})
    return replace(lint, rows=tuple(shown), muted=tuple(muted))


def worst(lints: Iterable[Lint]) -> Level | None:
    """The most serious level among lints that found something; None where none did."""
    found = {lint.level for lint in lints if lint.rows}
    return next((level for level in Level if level in found), None)
