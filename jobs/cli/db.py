"""platbook db: backups that were proven, restores that write nothing before they were compared, and checks."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from jobs.backup import rebaseline as compare_anew
from jobs.cli.exits import Exit, Stop
from jobs.cli.opened import opened
from jobs.cli.output import JsonFlag, emit_json, say, steps
from jobs.persons import require_admin
from store import backup, generation
from store.database import instant
from store.retention import retire

app = typer.Typer(no_args_is_help=True, help="The state: back up, prove, restore, check, re-baseline.")

LEAST_DAYS = 7

FileArgument = Annotated[Path, typer.Argument(help="The backup.")]


@app.command("backup")
def backup_(
    file: Annotated[Path, typer.Argument(help="File to write; it must not exist.")],
    no_snapshots: Annotated[
        bool, typer.Option("--no-snapshots", help="Leave the snapshot files out: their folder is backed up elsewhere.")
    ] = False,
    json_: JsonFlag = False,
) -> None:
    """Write the database and the snapshot files it points to into one file, and prove it by restoring it."""
    wired = opened()
    made = backup.write(wired.database, wired.files, file, with_files=not no_snapshots)
    _told("db backup", made, f"{file}: written and proven", json_)


@app.command("prove")
def prove(file: FileArgument, json_: JsonFlag = False) -> None:
    """Read a backup whole and restore its database to a temporary place: exit 1 where anything is not as it was.

    A PostgreSQL database is restored into one of its own beside PLATBOOK_DATABASE_URL, which is dropped again. Exit 7
    where that cannot be done; what could not be proven is said.
    """
    _told("db prove", backup.prove(file, server=opened(migrate=False).database), f"{file}: proven", json_)


@app.command("restore")
def restore(
    file: FileArgument,
    replace: Annotated[
        bool, typer.Option("--replace", help="Set the present state aside under another name and take the backup.")
    ] = False,
    json_: JsonFlag = False,
) -> None:
    """Put a backup in the place of the state. Nothing is written to a CRM before `platbook db rebaseline`."""
    wired = opened(migrate=False)
    if replace and wired.database.exists():
        wired = opened()
        require_admin(wired, "db restore --replace")
    made = backup.restore(wired.database, wired.files, file, by=wired.person, replace=replace)
    _told("db restore", made, f"{file}: restored. Next: platbook db rebaseline", json_)


@app.command("check")
def check(json_: JsonFlag = False) -> None:
    """Check the database's pages, the audit's chain, and every snapshot file the state points to."""
    wired = opened()
    faults = backup.check(wired.database, wired.files)
    source = generation.restored_from(wired.database)
    if json_:
        payload = {"faults": list(faults), "generation": generation.current(wired.database), "restored_from": source}
        emit_json("db check", payload)
    else:
        for fault in faults:
            say(fault, style="red")
        say("the state is whole" if not faults else f"{len(faults)} faults")
        if source:
            say(f"restored from {source}: nothing is written before `platbook db rebaseline`", style="yellow")
    if faults:
        raise Stop("", Exit.ERROR)


@app.command("rebaseline")
def rebaseline(json_: JsonFlag = False) -> None:
    """After a restore: read the CRMs whole, let go what is not as it was agreed, and allow writing again."""
    wired = opened()
    require_admin(wired, "db rebaseline")
    with steps() as progress:
        found = compare_anew(wired, progress=progress)
    if json_:
        emit_json("db rebaseline", asdict(found))
        return
    say(
        f"{found.kept:,} agreed values are as they were; {found.released:,} are not, and a person is asked before "
        f"anything is written there. {found.plans_closed:,} old plans closed. Next: platbook plan"
    )


@app.command("sweep")
def sweep(
    older_than_days: Annotated[int, typer.Option(help="Days that a snapshot is kept, at least 7.")] = 90,
    json_: JsonFlag = False,
) -> None:
    """Forget snapshots that nothing needs any more, and delete files that no row points to. Plans and audit stay."""
    if older_than_days < LEAST_DAYS:
        raise Stop(f"db sweep: --older-than-days {older_than_days}; expected at least {LEAST_DAYS}", Exit.USAGE)
    wired = opened()
    require_admin(wired, "db sweep")
    before = instant(wired.now() - timedelta(days=older_than_days))
    retired = retire(wired.database, before=before, by=wired.person)
    deleted = wired.snapshots.sweep()
    if json_:
        emit_json("db sweep", {"snapshots": retired, "files": deleted})
    else:
        say(f"{retired:,} snapshots older than {older_than_days} days forgotten, {deleted:,} files deleted")


def _told(verb: str, made: backup.Manifest, words: str, as_json: bool) -> None:
    if as_json:
        emit_json(verb, asdict(made))
    else:
        _say_made(made, words)
    if verb == "db prove" and made.unproven:
        raise Stop("" if as_json else f"not wholly proven: {made.unproven}", Exit.NEEDS_PERSON)


def _say_made(made: backup.Manifest, words: str) -> None:
    say(words.replace("proven", "as far as proven") if made.unproven else words)
    if made.unproven:
        say(made.unproven, style="yellow")
    say(
        f"{sum(made.counts.values()):,} rows · {len(made.files):,} files, {sum(made.files.values()):,} bytes · "
        f"audit {made.audit_rows:,} rows, head {made.audit_head[:16]} · made {made.made_at[:16].replace('T', ' ')} UTC"
    )
