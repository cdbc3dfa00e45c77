"""Deliveries: a file is judged, and kept with its verdict; only an accepted one is looked at by a plan."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.csv_feed.contract import Verdict
from connectors.csv_feed.reader import FeedRefused
from connectors.csv_feed.tally import DeliveryFacts
from jobs.intake import Intake, Judged, judge, refusal
from jobs.tables import arrow_schema
from jobs.wiring import Wired
from mappings.deliveries import LastRow
from mappings.schema import FeedLayout
from store import audit
from store.snapshots import Snapshot, Status, Written
from sync.world import AUTHORITY_FACTS, CONTACTS, EDGE_FACTS, FACTS, FIRMS, OWNERSHIP_FACTS, SIGNALS

SCHEMAS = {
    "firm": FIRMS,
    "fact": FACTS,
    "edge": EDGE_FACTS,
    "authority": AUTHORITY_FACTS,
    "ownership": OWNERSHIP_FACTS,
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
_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "bar": "|"}
FIRST_PROBLEMS = 20  # kept in words with the delivery; all are counted


class FeedError(ValueError):
    """A delivery cannot be taken as it was named on the command line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What is said about a file before it is opened."""

    layout: str
    as_of: str  # ISO date
    encoding: str = ""  # empty = the layout's
    delimiter: str = ""  # empty = the layout's
    rows: int | None = None  # data rows; None = nobody said


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A delivery and where it is kept."""

    intake: Intake
    snapshot: Snapshot | None  # None when it is the delivery already in use
    is_repeat: bool


def declared(wired: Wired, path: Path, *, layout: str, as_of: str, encoding: str) -> Declared:
    """What the options say, completed from MANIFEST.csv beside the file. Raises FeedError naming what is missing."""
    if not path.is_file():
        fact = "it is a folder or a device" if path.exists() else "there is no such file"
        raise FeedError(f"{path}: {fact}; give the path of a delivered CSV file, plain or packed (.gz, .zip)")
    listed = _manifest(path)
    day = as_of or listed.get("as_of", "")
    if not day:
        raise FeedError(f"{path.name}: the as-of date is not known; give --as-of YYYY-MM-DD, or a {MANIFEST} beside it")
    name = layout or _guessed_layout(wired, path)
    if name not in wired.mappings.feeds:
        raise FeedError(f'layout "{name}" is not known; known: {", ".join(sorted(wired.mappings.feeds))}')
    return Declared(
        layout=name,
        as_of=day,
        encoding=encoding or listed.get("encoding", ""),
        delimiter=_delimiter(listed.get("delimiter", "")),
        rows=_rows(listed.get("rows", "")),
    )


def take_delivery(wired: Wired, path: Path, said: Declared) -> Taken:
    """Judge the file and keep it with its verdict, in bounded memory.

    A repeat of the delivery in use, or of one that waits for a person, changes nothing.
    """
    layout = wired.mappings.feeds[said.layout]
    current = wired.snapshots.current(layout.feed, layout.rows)
    previous = DeliveryFacts.from_dict(current.verdict["facts"]) if current is not None else None
    try:
        judged = judge(
            path,
            layout,
            as_of=said.as_of,
            encoding=said.encoding,
            delimiter=said.delimiter,
            rows=said.rows,
            previous=previous,
        )
    except ValueError as error:
        raise FeedError(str(error)) from error
    known = _known(wired, layout, judged, current)
    if known is not None:
        return Taken(intake=judged.intake(), snapshot=known, is_repeat=True)
    try:
        return _keep(wired, layout, judged, current)
    except FeedRefused as refused:  # the file was exchanged between the two readings
        intake = refusal(layout.feed, said.as_of, refused.problem)
        return Taken(intake=intake, snapshot=_register(wired, layout, intake, None), is_repeat=False)


def judge_held(wired: Wired, snapshot_id: str, *, accept: bool, reason: str) -> Snapshot:
    """A person's word on a held delivery; audited."""
    held = wired.snapshots.get(snapshot_id)
    current = wired.snapshots.current(held.source, held.object)
    if accept and current is not None and held.verdict.get("as_of", "") < current.verdict.get("as_of", ""):
        raise FeedError(
            f"delivery {snapshot_id} is as of {held.verdict.get('as_of')}, older than the one in use "
            f"({current.verdict.get('as_of')}); refuse it: platbook feeds refuse {snapshot_id} --reason ..."
        )
    word = "accepted" if accept else "rejected"
    verdict = {**held.verdict, "judged_by": wired.person.label, "reason": reason, "judged": word}
    judged = wired.snapshots.judge(snapshot_id, Status.ACCEPTED if accept else Status.REJECTED, verdict=verdict)
    with wired.database.state() as conn:
        body = {"snapshot": snapshot_id, "feed": held.source, "word": word, "reason": reason}
        entry = audit.Entry(kind="delivery_judged", actor=wired.person.label, body=body)
        audit.append(conn, [entry], at=wired.database.now())
    return judged


def _known(wired: Wired, layout: FeedLayout, judged: Judged, current: Snapshot | None) -> Snapshot | None:
    """The same file with the same date, in use already or waiting for a person."""
    facts = judged.delivery.facts
    if facts is None:
        return None
    held = [one for one in wired.snapshots.list(source=layout.feed, status=Status.HELD) if one.object == layout.rows]
    if current is not None:
        held.insert(0, current)
    for one in held:
        kept = one.verdict.get("facts") or {}
        if (kept.get("sha256"), kept.get("as_of")) == (facts.sha256, facts.as_of):
            return one
    return None


def _keep(wired: Wired, layout: FeedLayout, judged: Judged, current: Snapshot | None) -> Taken:
    """Write the rows as they are read, then the delivery with its verdict."""
    schema = arrow_schema(SCHEMAS[layout.rows])
    last = _last_rows(wired, layout, current)
    written = wired.snapshots.write(schema, judged.batches(schema, last))
    intake = judged.intake()
    return Taken(intake=intake, snapshot=_register(wired, layout, intake, written), is_repeat=False)


def _register(wired: Wired, layout: FeedLayout, intake: Intake, written: Written | None) -> Snapshot:
    status = STATUSES[intake.verdict]
    facts = intake.facts_for_next_time
    verdict: dict[str, Any] = {
        "verdict": intake.verdict.value,
        "file": intake.file,
        "as_of": intake.as_of,
        "rows_seen": intake.rows_seen,
        "rows_set_aside": intake.rows_set_aside,
        "problems": dict(intake.counts),
        "first_problems": [str(problem) for problem in intake.problems[:FIRST_PROBLEMS]],
        "facts": facts.as_dict() if facts is not None else None,
    }
    kept = written or arrow_schema(SCHEMAS[layout.rows]).empty_table()
    return wired.snapshots.save(layout.feed, layout.rows, kept, status=status, verdict=verdict)


def _last_rows(wired: Wired, layout: FeedLayout, current: Snapshot | None) -> LastRow | None:
    """Firms of the last delivery by id, where the layout has words for "as before". Holds that delivery in memory."""
    if not layout.same_words or current is None:
        return None
    table = wired.snapshots.read(current)
    places = {firm_id: place for place, firm_id in enumerate(table["firm_id"].to_pylist())}

    def last(firm_id: str) -> dict[str, Any] | None:
        place = places.get(firm_id)
        return None if place is None else dict(table.slice(place, 1).to_pylist()[0])

    return last


def _manifest(path: Path) -> dict[str, str]:
    """The file's line in MANIFEST.csv beside it (columns file, as_of, encoding, delimiter, rows), or nothing."""
    manifest = path.parent / MANIFEST
    if not manifest.is_file():
        return {}
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as lines:
            listed = list(csv.DictReader(lines, strict=True))
    except (OSError, UnicodeError, csv.Error) as error:
        remedy = "expected UTF-8 text with the columns file and as_of; correct it, or take it away and give --as-of"
        raise FeedError(f"{manifest}: cannot be read ({error}); {remedy}") from error
    row = next((row for row in listed if row.get("file") == path.name), {})
    return {name: text.strip(" ") for name, text in row.items() if isinstance(text, str)}


def _delimiter(text: str) -> str:
    """A declared delimiter: the character itself, or its name where a manifest cannot show it. Raises FeedError."""
    found = _DELIMITERS.get(text.lower(), text)
    if len(found) > 1 or found in ('"', "\r", "\n"):
        raise FeedError(
            f"{MANIFEST}: the delimiter is {text!r}; expected one character, or tab, comma, semicolon, pipe"
        )
    return found


def _rows(text: str) -> int | None:
    """A declared number of data rows. Raises FeedError."""
    if not text:
        return None
    if not (text.isascii() and text.replace(",", "").isdigit()):
        raise FeedError(f"{MANIFEST}: the number of rows is {text!r}; expected a whole number, or nothing")
    return int(text.replace(",", ""))


def _guessed_layout(wired: Wired, path: Path) -> str:
    """The layout with the longest name that begins the file's name."""
    found = sorted((name for name in wired.mappings.feeds if path.name.startswith(name)), key=len)
    if not found:
        known = ", ".join(sorted(wired.mappings.feeds))
        raise FeedError(f"{path.name}: which layout it has is not clear; give --layout, one of {known}")
    return found[-1]
