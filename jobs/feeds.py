"""Deliveries: a file is judged, and kept with its verdict; only an accepted one is looked at by a plan."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.csv_feed.contract import Verdict
from connectors.csv_feed.tally import DeliveryFacts
from jobs.intake import Intake
from jobs.intake import take as take_file
from jobs.tables import arrow_schema, from_rows
from jobs.wiring import Wired
from mappings.schema import FeedLayout
from store import audit
from store.snapshots import Snapshot, Status
from sync.world import AUTHORITY_FACTS, CONTACTS, EDGE_FACTS, FACTS, FIRMS, SIGNALS

SCHEMAS = {
    "firm": FIRMS,
    "fact": FACTS,
    "edge": EDGE_FACTS,
    "authority": AUTHORITY_FACTS,
    "signal": SIGNALS,
    "contact": CONTACTS,
}
STATUSES = {
    Verdict.ACCEPT: Status.ACCEPTED,
    Verdict.QUARANTINE_ROWS: Status.ACCEPTED,
    Verdict.HOLD_FOR_REVIEW: Status.HELD,
    Verdict.REJECT_FILE: Status.REJECTED,
}
MANIFEST = "MANIFEST.csv"


class FeedError(ValueError):
    """A delivery cannot be taken as it was named on the command line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What is said about a file before it is opened."""

    layout: str
    as_of: str  # ISO date
    encoding: str = ""  # empty = the layout's


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A delivery and where it is kept."""

    intake: Intake
    snapshot: Snapshot | None  # None when it is the delivery already in use
    is_repeat: bool


def declared(wired: Wired, path: Path, *, layout: str, as_of: str, encoding: str) -> Declared:
    """What the options say, completed from MANIFEST.csv beside the file. Raises FeedError naming what is missing."""
    if not path.is_file():
        raise FeedError(f"{path}: there is no such file; give the path of a delivered CSV file, plain or gzipped")
    listed = _manifest(path)
    day = as_of or listed.get("as_of", "")
    if not day:
        raise FeedError(f"{path.name}: the as-of date is not known; give --as-of YYYY-MM-DD, or a {MANIFEST} beside it")
    name = layout or _guessed_layout(wired, path)
    if name not in wired.mappings.feeds:
        raise FeedError(f'layout "{name}" is not known; known: {", ".join(sorted(wired.mappings.feeds))}')
    return Declared(layout=name, as_of=day, encoding=encoding or listed.get("encoding", ""))


def take_delivery(wired: Wired, path: Path, said: Declared) -> Taken:
    """Judge the file and keep it with its verdict. A repeat of the delivery in use changes nothing."""
    layout = wired.mappings.feeds[said.layout]
    current = wired.snapshots.current(layout.feed, layout.rows)
    previous = DeliveryFacts.from_dict(current.verdict["facts"]) if current is not None else None
    try:
        intake = take_file(path, layout, as_of=said.as_of, encoding=said.encoding, previous=previous)
    except ValueError as error:
        raise FeedError(str(error)) from error
    facts = intake.facts_for_next_time
    if previous is not None and facts is not None and (facts.sha256, facts.as_of) == (previous.sha256, previous.as_of):
        return Taken(intake=intake, snapshot=current, is_repeat=True)
    return Taken(intake=intake, snapshot=_keep(wired, layout, intake), is_repeat=False)


def judge_held(wired: Wired, snapshot_id: str, *, accept: bool, reason: str) -> Snapshot:
    """A person's word on a held delivery; audited."""
    held = wired.snapshots.get(snapshot_id)
    word = "accepted" if accept else "rejected"
    verdict = {**held.verdict, "judged_by": wired.person.label, "reason": reason, "judged": word}
    judged = wired.snapshots.judge(snapshot_id, Status.ACCEPTED if accept else Status.REJECTED, verdict=verdict)
    with wired.database.state() as conn:
        body = {"snapshot": snapshot_id, "feed": held.source, "word": word, "reason": reason}
        entry = audit.Entry(kind="delivery_judged", actor=wired.person.label, body=body)
        audit.append(conn, [entry], at=wired.database.now())
    return judged


def _keep(wired: Wired, layout: FeedLayout, intake: Intake) -> Snapshot:
    status = STATUSES[intake.verdict]
    rows = () if status is Status.REJECTED else intake.rows
    facts = intake.facts_for_next_time
    verdict: dict[str, Any] = {
        "verdict": intake.verdict.value,
        "file": intake.file,
        "as_of": intake.as_of,
        "rows_seen": intake.rows_seen,
        "rows_set_aside": intake.rows_set_aside,
        "problems": dict(intake.counts),
        "facts": facts.as_dict() if facts is not None else None,
    }
    table = from_rows([rows], arrow_schema(SCHEMAS[layout.rows]))
    return wired.snapshots.save(layout.feed, layout.rows, table, status=status, verdict=verdict)


def _manifest(path: Path) -> dict[str, str]:
    """The file's line in MANIFEST.csv beside it (columns file, as_of, encoding), or nothing."""
    manifest = path.parent / MANIFEST
    if not manifest.is_file():
        return {}
    with manifest.open(encoding="utf-8", newline="") as lines:
        return next((row for row in csv.DictReader(lines, strict=True) if row.get("file") == path.name), {})


def _guessed_layout(wired: Wired, path: Path) -> str:
    """The one layout whose name begins the file's name."""
    found = [name for name in wired.mappings.feeds if path.name.startswith(name)]
    if len(found) != 1:
        known = ", ".join(sorted(wired.mappings.feeds))
        raise FeedError(f"{path.name}: which layout it has is not clear; give --layout, one of {known}")
    return found[0]
