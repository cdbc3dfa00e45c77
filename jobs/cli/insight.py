"""platbook kpis, lint, segments, roadmap: what the numbers say, and how sure they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.charts import ChartError, bars, save
from jobs.cli.exits import Exit, Stop
from jobs.cli.opened import opened
from jobs.cli.output import JsonFlag, emit_json, say, table
from jobs.cli.selecting import PlanOption
from jobs.export import ExportError
from jobs.insight import Insight, look
from jobs.sheets import write_sheets
from sync.insight.kpi import Kpi
from sync.insight.lint import EVERYTHING, Level, Lint, worst

OutputOption = Annotated[Path | None, typer.Option("-o", "--output", help="Also write the tables to this .xlsx file.")]
ChartOption = Annotated[Path | None, typer.Option("--chart", help="Draw to this .svg or .png file.")]
SHOWN = 20
"""Rows of a table on a terminal; files and --json have all."""

_MARKS = {Level.ERROR: "red", Level.WARN: "yellow", Level.INFO: "cyan"}


def kpis(
    which: Annotated[list[str] | None, typer.Argument(help="Only these, such as R48 R49; default: all.")] = None,
    window_days: Annotated[int, typer.Option(min=0, help="Deals closed within so many days count; 0: kpis.yaml.")] = 0,
    output: OutputOption = None,
    chart: ChartOption = None,
    plan_id: PlanOption = "latest",
    json_: JsonFlag = False,
) -> None:
    """Measure the book: coverage, win rates, cycles, deal sizes, white space, each with its interval and benchmark."""
    seen = look(opened(), plan_id, window_days=window_days)
    found = _chosen(seen.kpis, which)
    if chart is not None:
        _draw_kpi(found, chart)
    if output is not None:
        _sheets({f"{one.id} {one.name}": one.rows for one in found}, output, seen)
    if json_:
        emit_json("kpis", {**_about(seen), "kpis": [asdict(one) for one in found]})
        return
    for one in found:
        say(f"{one.id} {one.name}: {one.line}", style="bold")
        _show(one.rows, one.notes)
    _show_assumptions(seen)


def lint(
    which: Annotated[list[str] | None, typer.Argument(help="Only these, such as FM1-MULTI-REP; default: all.")] = None,
    suppress: Annotated[str, typer.Option(help="Mute this subject of the one lint named; * means all of it.")] = "",
    lift: Annotated[str, typer.Option(help="Take back what was muted for this subject.")] = "",
    reason: Annotated[str, typer.Option(help="Why it is muted; stands in the audit.")] = "",
    until: Annotated[str, typer.Option(help="Last day it is muted, YYYY-MM-DD.")] = "",
    output: OutputOption = None,
    chart: ChartOption = None,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 3 when an ERROR was found.")] = False,
    plan_id: PlanOption = "latest",
    json_: JsonFlag = False,
) -> None:
    """Look for what breaks a segmentation: evidence rows, the command that fixes each, and what was muted and why."""
    wired = opened()
    seen = look(wired, plan_id)
    if suppress or lift:
        _mute(seen, which, suppress=suppress, lift=lift, reason=reason, until=until)
    found = [one for one in seen.lints if not which or one.id in {word.upper() for word in which}]
    if which and not found:
        raise Stop(f"no lint is called {', '.join(which)}; `platbook lint --json` lists them all", Exit.USAGE)
    if chart is not None:
        rows = [{"lint": one.id, "findings": len(one.rows)} for one in found if one.rows]
        _draw(rows, by="lint", value="findings", title="Findings by lint", path=chart)
    if output is not None:
        _sheets({one.id: (*one.rows, *one.muted) for one in found if one.rows or one.muted}, output, seen)
    if json_:
        emit_json("lint", {**_about(seen), "lints": [asdict(one) for one in found]})
    else:
        _show_lints(found, all_rows=bool(which))
        _show_assumptions(seen)
    if exit_code and worst(found) is Level.ERROR:
        raise Stop("", Exit.NEEDS_DECISION)


def segments(
    output: OutputOption = None, chart: ChartOption = None, plan_id: PlanOption = "latest", json_: JsonFlag = False
) -> None:
    """Show segments, cohorts, motions and matrices: how many accounts and decisions each has, and what they score."""
    seen = look(opened(), plan_id)
    rows = seen.rows("profiles")
    groups = {
        name: _grouped(rows, name) for name in ("segment", "motion", "quadrant", "icp_profile", "size_tier", "band")
    }
    groups["cohorts"] = _cohorts(rows)
    if chart is not None:
        _draw(groups["segment"], by="segment", value="accounts", title="Accounts by segment", path=chart)
    if output is not None:
        _sheets({**groups, "accounts": rows}, output, seen)
    if json_:
        emit_json("segments", {**_about(seen), **groups})
        return
    for name, group in groups.items():
        table(name.replace("_", " "), list(group[0]) if group else [name], [list(row.values()) for row in group])
        say()
    _show_assumptions(seen)


def roadmap(output: OutputOption = None, plan_id: PlanOption = "latest", json_: JsonFlag = False) -> None:
    """Hold the 90-day roadmap against the evidence: every item done, partial or missing, with what was counted."""
    seen = look(opened(), plan_id)
    rows = [{**asdict(one), "state": one.state.value} for one in seen.roadmap]
    if output is not None:
        _sheets({"roadmap": rows}, output, seen)
    if json_:
        emit_json("roadmap", {**_about(seen), "items": rows})
        return
    counts = Counter(row["state"] for row in rows)
    table("90-day roadmap", ("days", "item", "state", "evidence"), [list(row.values()) for row in rows])
    say(", ".join(f"{counts[state]} {state}" for state in ("done", "partial", "missing")))
    _show_assumptions(seen)


# --- parts ------------------------------------------------------------------------------------------------------------


def _about(seen: Insight) -> dict[str, Any]:
    return {"plan": seen.plan_id, "as_of": seen.as_of, "assumptions": [asdict(one) for one in seen.assumptions]}


def _chosen(found: Sequence[Kpi], which: Sequence[str] | None) -> list[Kpi]:
    if not which:
        return list(found)
    wanted = {word.upper() for word in which}
    unknown = wanted - {one.id for one in found}
    if unknown:
        known = ", ".join(one.id for one in found)
        raise Stop(f"no KPI is called {', '.join(sorted(unknown))}; known are {known}", Exit.USAGE)
    return [one for one in found if one.id in wanted]


def _draw_kpi(found: Sequence[Kpi], path: Path) -> None:
    drawable = [one for one in found if one.chart and one.rows]
    if len(drawable) != 1:
        ids = ", ".join(one.id for one in drawable) or "none of these"
        raise Stop(f"--chart draws one KPI; name one of them first: {ids}", Exit.USAGE)
    one = drawable[0]
    _draw(one.rows, by=one.by, value=one.chart, title=f"{one.id} {one.name}", path=path, subtitle=one.line)


def _draw(
    rows: Sequence[Mapping[str, Any]], *, by: str, value: str, title: str, path: Path, subtitle: str = ""
) -> None:
    try:
        save(bars(rows, by=by, value=value, title=title, subtitle=subtitle), path)
    except ChartError as error:
        raise Stop(str(error), Exit.USAGE) from error


def _sheets(sheets: Mapping[str, Sequence[Mapping[str, Any]]], path: Path, seen: Insight) -> None:
    if path.suffix != ".xlsx":
        raise Stop(f"{path.name}: the name must end with .xlsx", Exit.USAGE)
    assumed = [asdict(one) for one in seen.assumptions]
    try:
        write_sheets({**sheets, "assumptions": assumed}, path)
    except (ExportError, OSError) as error:
        raise Stop(f"{path}: cannot be written ({error})") from error


def _show(rows: Sequence[Mapping[str, Any]], notes: Sequence[str]) -> None:
    if rows:
        columns = list(rows[0])
        table(
            "", [c.replace("_", " ") for c in columns], [[_cell(r.get(c)) for c in columns] for r in rows], limit=SHOWN
        )
    for note in notes:
        say(f"  note: {note}", style="dim")
    say()


def _cell(value: object) -> object:
    if isinstance(value, float):
        return f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else value


def _show_lints(found: Sequence[Lint], *, all_rows: bool) -> None:
    quiet = [one for one in found if not one.rows]
    order = list(Level)
    for one in sorted((o for o in found if o.rows), key=lambda o: (order.index(o.level), o.id)):
        muted = f", {len(one.muted)} muted" if one.muted else ""
        say(f"{one.level.value} {one.id}: {one.title} ({len(one.rows):,}{muted})", style=_MARKS[one.level])
        columns = list(one.rows[0])
        rows = [[_cell(row.get(c)) for c in columns] for row in one.rows]
        table("", [c.replace("_", " ") for c in columns], rows, limit=None if all_rows else 5)
        say(f"  fix: {one.fix}")
        say()
    clean = ", ".join(one.id + (" (all muted)" if one.muted else "") for one in quiet)
    say(f"nothing found by {len(quiet)} others: {clean}" if quiet else "every lint found something")
    for one in quiet:
        if one.note:
            say(f"  {one.id}: {one.note}", style="dim")


def _mute(seen: Insight, which: Sequence[str] | None, *, suppress: str, lift: str, reason: str, until: str) -> None:
    if not which or len(which) != 1:
        raise Stop(
            "name the one lint that is meant, such as `platbook lint DUP-ORG --suppress SUBJECT ...`", Exit.USAGE
        )
    id_, wired = which[0].upper(), seen.wired
    known = {one.id: one for one in seen.lints}
    if id_ not in known:
        raise Stop(f"no lint is called {id_}; known are {', '.join(known)}", Exit.USAGE)
    if lift:
        count = wired.suppressions.lift(id_, lift, by=wired.person.label)
        say(f"{count} suppressions of {id_} lifted" if count else f"nothing of {id_} was muted for {lift}")
    if suppress:
        _check_mute(known[id_], suppress, reason=reason, until=until, as_of=seen.as_of)
        wired.suppressions.add(id_, suppress, reason=reason, until=until, by=wired.person.label)
        say(f"{id_} is muted for {'everything' if suppress == EVERYTHING else suppress} until {until}: {reason}")
    del seen.lints  # what was muted a moment ago counts


def _check_mute(lint_: Lint, subject: str, *, reason: str, until: str, as_of: str) -> None:
    if not reason.strip():
        raise Stop("a suppression needs --reason: the next person must know why", Exit.USAGE)
    try:
        is_day = date.fromisoformat(until).isoformat() == until
    except ValueError:
        is_day = False
    if not is_day or until < as_of:
        raise Stop(f"a suppression needs --until YYYY-MM-DD, not before {as_of}; it never lasts for ever", Exit.USAGE)
    subjects = {str(row["subject"]) for row in (*lint_.rows, *lint_.muted)}
    if subject != EVERYTHING and subject not in subjects:
        raise Stop(f"{lint_.id} found nothing about {subject}; see the column subject, or * for everything", Exit.USAGE)


def _grouped(rows: Sequence[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row[name] or "(none)", []).append(row)
    return [_counted(name, key, found) for key, found in sorted(groups.items(), key=lambda g: (-len(g[1]), g[0]))]


def _cohorts(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        for cohort in (row["cohorts"] or "").split(","):
            if cohort:
                groups.setdefault(cohort, []).append(row)
    return [_counted("cohort", key, found) for key, found in sorted(groups.items())]


def _counted(name: str, key: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    deciding = [row for row in rows if row["account_id"] == row["holder_account_id"]]
    scores = sorted(row["score_tenths"] for row in deciding if row["score_tenths"] is not None)
    middle = scores[(len(scores) - 1) // 2] / 10 if scores else None
    gaps = Counter(role for row in deciding for role in (row["committee_missing"] or "").split(",") if role)
    return {
        name: key,
        "accounts": len(rows),
        "deciding": len(deciding),
        "median_score": middle,
        "insufficient": sum(row["band"] == "INSUFFICIENT" for row in deciding),
        "potential_usd": sum(row["potential_cents"] or 0 for row in deciding) // 100,
        "committee_gaps": ", ".join(f"{role} {n}" for role, n in gaps.most_common(3)),
    }


def _show_assumptions(seen: Insight) -> None:
    say(f"Plan {seen.plan_id}, as of {seen.as_of}. Assumptions:", style="bold")
    for one in seen.assumptions:
        say(f"  {one.topic}: {one.says} [{one.file}]", style="dim")
