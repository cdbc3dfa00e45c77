"""platbook feeds take, list, accept, refuse, report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from connectors.csv_feed.contract import Verdict
from jobs.charts import ChartError, bars, save
from jobs.cli.exits import Exit, Stop
from jobs.cli.opened import opened
from jobs.cli.output import JsonFlag, emit_json, say, table
from jobs.cli.selecting import ReasonOption
from jobs.feed_report import FeedReport, feed_report
from jobs.feeds import Taken, declared, judge_held, take_delivery
from jobs.sheets import write_sheets
from store.snapshots import Snapshot

app = typer.Typer(help="Vendor deliveries: take a file, list what was delivered, judge what is held.")

CODES = {
    Verdict.ACCEPT: Exit.OK,
    Verdict.QUARANTINE_ROWS: Exit.OK,
    Verdict.HOLD_FOR_REVIEW: Exit.NEEDS_PERSON,
    Verdict.REJECT_FILE: Exit.ERROR,
}
PROBLEMS_SHOWN = 20
REPORT_ROWS = 40


@app.command("take")
def take(
    file: Annotated[Path, typer.Argument(help="CSV file, plain, .gz, or .zip with one member.")],
    layout: Annotated[
        str, typer.Option(help="Layout in mappings/feeds; default: the one the file name begins with.")
    ] = "",
    as_of: Annotated[
        str, typer.Option(help="Date of the data, YYYY-MM-DD; default: from MANIFEST.csv beside it.")
    ] = "",
    encoding: Annotated[str, typer.Option(help="Declared encoding; default: from MANIFEST.csv, then the layout.")] = "",
    json_: JsonFlag = False,
) -> None:
    """Judge a delivery and keep it. A held or rejected file changes nothing that a plan looks at."""
    wired = opened()
    taken = take_delivery(wired, file, declared(wired, file, layout=layout, as_of=as_of, encoding=encoding))
    if json_:
        emit_json("feeds take", _payload(taken))
    else:
        show_taken(taken)
    code = CODES[taken.intake.verdict]
    if code is not Exit.OK and not taken.is_repeat:
        raise Stop("", code)


@app.command("list")
def list_(json_: JsonFlag = False) -> None:
    """List the deliveries, newest first, with their verdicts."""
    wired = opened()
    names = {layout.feed for layout in wired.mappings.feeds.values()}
    found = [one for one in wired.snapshots.list() if one.source in names]
    if json_:
        emit_json("feeds list", {"deliveries": [_delivery(one) for one in found]})
        return
    columns = ("id", "feed", "file", "as_of", "verdict", "status", "rows", "set aside")
    table("deliveries", columns, [list(_delivery(one).values())[:8] for one in found])


@app.command("accept")
def accept(snapshot_id: str, reason: ReasonOption = "", json_: JsonFlag = False) -> None:
    """Use a held delivery after all: you looked at it, and what held it is as it should be."""
    _judge(snapshot_id, reason, json_, accept=True)


@app.command("refuse")
def refuse(snapshot_id: str, reason: ReasonOption = "", json_: JsonFlag = False) -> None:
    """Refuse a held delivery: it stays as evidence and is never used."""
    _judge(snapshot_id, reason, json_, accept=False)


@app.command("report")
def report(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Also write the tables to this .xlsx file.")
    ] = None,
    chart: Annotated[Path | None, typer.Option(help="Draw coverage by field to this .svg or .png file.")] = None,
    feed: Annotated[str, typer.Option(help="Feed of the chart; default: the one with the most fields.")] = "",
    json_: JsonFlag = False,
) -> None:
    """Data quality: deliveries, coverage and drift, gaps, and where sources contradict each other."""
    found = feed_report(opened())
    if chart is not None:
        _draw(found, chart, feed)
    if output is not None:
        _write(found, output)
    if json_:
        emit_json("feeds report", asdict(found))
        return
    _show_report(found)


def _draw(found: FeedReport, path: Path, feed: str) -> None:
    """Filled cells by field, of one feed."""
    feeds = Counter(row["feed"] for row in found.coverage)
    if not feeds or (feed and feed not in feeds):
        known = ", ".join(sorted(feeds)) or "none"
        raise Stop(f"--chart: there is no accepted delivery of {feed or 'any feed'}; in use: {known}", Exit.USAGE)
    name = feed or feeds.most_common(1)[0][0]
    rows = [row for row in found.coverage if row["feed"] == name]
    before = rows[0]["before_as_of"]
    subtitle = f"as of {rows[0]['as_of']}" + (f", the delivery before as of {before}" if before else "")
    try:
        save(
            bars(rows, by="field", value="filled_pct", title=f"{name}: filled cells by field", subtitle=subtitle), path
        )
    except (ChartError, OSError) as error:
        raise Stop(f"--chart {path.name}: {error}", Exit.USAGE) from error


def _write(found: FeedReport, path: Path) -> None:
    if path.suffix != ".xlsx":
        raise Stop(f"{path.name}: the name must end with .xlsx", Exit.USAGE)
    sheets = {
        "deliveries": found.deliveries,
        "coverage": found.coverage,
        "drift": found.drifted,
        "gaps": found.gaps,
        "conflicts": found.conflicts,
    }
    try:
        write_sheets(sheets, path)
    except OSError as error:
        raise Stop(f"{path}: cannot be written ({error.strerror})") from error


def _show_report(found: FeedReport) -> None:
    delivered = ("feed", "file", "as_of", "verdict", "status", "rows", "set_aside", "problems")
    _table("deliveries", delivered, found.deliveries)
    _table("gaps: firms without ...", tuple(found.gaps[0]) if found.gaps else (), found.gaps)
    thin = sorted(found.coverage, key=lambda row: (row["feed"], row["filled_pct"] or 0.0, row["field"]))
    _table("coverage, thinnest first", ("feed", "field", "filled_pct", "filled_before_pct", "drift_points"), thin)
    _table("drift: less filled than last time", ("feed", "field", "drift_points"), found.drifted)
    _table("conflicts between sources", ("code", "subject", "fact", "remedy"), found.conflicts)
    for note in found.notes:
        say(f"note: {note}", style="dim")


def _table(title: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        shown = [[row.get(column) for column in columns] for row in rows]
        table(title, [column.replace("_", " ") for column in columns], shown, limit=REPORT_ROWS)
        say()


def _judge(snapshot_id: str, reason: str, as_json: bool, *, accept: bool) -> None:
    if not reason.strip():
        raise Stop("--reason is missing; it stands in the audit beside your name", Exit.USAGE)
    judged = judge_held(opened(), snapshot_id, accept=accept, reason=reason)
    if as_json:
        emit_json("feeds accept" if accept else "feeds refuse", _delivery(judged))
        return
    say(f"delivery {judged.id} ({judged.verdict['file']}) is now {judged.status}")


def show_taken(taken: Taken) -> None:
    """Verdict and problems of a delivery."""
    intake = taken.intake
    if taken.is_repeat:
        say(f"{intake.file}: this very delivery is already in use; nothing changed")
        return
    where = f" · kept as {taken.snapshot.id}" if taken.snapshot else ""
    say(
        f"{intake.file} as of {intake.as_of}: {intake.verdict.value} · {intake.rows_seen:,} rows, "
        f"{intake.rows_set_aside:,} set aside{where}",
        style="bold",
    )
    for code, count in intake.counts.items():
        say(f"  {code} {count:,}")
    for problem in intake.problems[:PROBLEMS_SHOWN]:
        say(f"  {problem}")
    if len(intake.problems) > PROBLEMS_SHOWN:
        say(f"  … and {len(intake.problems) - PROBLEMS_SHOWN:,} more; --json lists them")
    if intake.verdict is Verdict.HOLD_FOR_REVIEW and taken.snapshot:
        say(f"  nothing of it is used until a person agrees: platbook feeds accept {taken.snapshot.id} --reason ...")


def _payload(taken: Taken) -> dict[str, Any]:
    intake = taken.intake
    return {
        "delivery": taken.snapshot.id if taken.snapshot else None,
        "is_repeat": taken.is_repeat,
        "feed": intake.feed,
        "file": intake.file,
        "as_of": intake.as_of,
        "verdict": intake.verdict.value,
        "rows_seen": intake.rows_seen,
        "rows_set_aside": intake.rows_set_aside,
        "counts": dict(intake.counts),
        "problems": [asdict(problem) for problem in intake.problems],
    }


def _delivery(one: Snapshot) -> dict[str, Any]:
    return {
        "id": one.id,
        "feed": one.source,
        "file": one.verdict.get("file", ""),
        "as_of": one.verdict.get("as_of", ""),
        "verdict": one.verdict.get("verdict", ""),
        "status": one.status.value,
        "rows": one.row_count,
        "rows_set_aside": one.verdict.get("rows_set_aside", 0),
        "taken_at": one.taken_at,
    }
