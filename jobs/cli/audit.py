"""platbook audit: whether the log of everything decided and done is whole, and what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.audit_head import anchor, differs, rolled_back
from jobs.cli.exits import Exit, Stop
from jobs.cli.opened import opened
from jobs.cli.output import JsonFlag, emit_json, say, table
from store import audit as chain
from store.database import StoreError

app = typer.Typer(no_args_is_help=True, help="The audit: verify the chain, read it, write it to a file.")

BODY_SHOWN = 100
"""Characters of an entry's content in a table."""


HeadOption = Annotated[
    str,
    typer.Option(
        "--head", metavar="ROW:HASH", help="A head that was written down, as in an ownership mail: it has to be there."
    ),
]


@app.command("verify")
def verify(head_known: HeadOption = "", json_: JsonFlag = False) -> None:
    """Check every row of the chain, its length, and the head in the second place. Exit 1 names the first bad row."""
    known = _head(head_known)
    wired = opened()
    found = chain.verify(wired.database)
    fact = found.fact or rolled_back(wired.database, wired.settings.audit_head_file)
    if not fact and known is not None:
        fact = differs(wired.database, *known, where="what --head says")
    with wired.database.read() as conn:
        seq, head = chain.head(conn)
    if json_:
        emit_json(
            "audit verify",
            {"is_intact": not fact, "rows": found.rows, "first_bad_row": found.first_bad_seq, "fact": fact}
            | {"head": {"row": seq, "hash": head}},
        )
    elif not fact:
        say(f"the chain of {found.rows:,} rows is intact; head: row {seq}, {head}", style="green")
    if fact:
        raise Stop(
            f"audit: {fact}. Keep a copy of the database as it is, compare with the last backup and the head hashes in "
            "the ownership mails, and find out who could write to it",
            Exit.ERROR,
        )


@app.command("tail")
def tail(
    limit: Annotated[int, typer.Option(min=1, help="Entries shown, newest last.")] = 20,
    json_: JsonFlag = False,
) -> None:
    """Show the newest entries."""
    wired = opened()
    with wired.database.read() as conn:
        found = chain.newest(conn, limit=limit)
    if json_:
        emit_json("audit tail", {"entries": found})
        return
    rows = [(one["seq"], one["at"][:19].replace("T", " "), one["kind"], one["actor"], _short(one)) for one in found]
    table("audit", ("row", "at (UTC)", "what", "by", "details"), rows)


@app.command("export")
def export(
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write, one JSON object a line.")],
    json_: JsonFlag = False,
) -> None:
    """Write the whole log with its hashes, so that it can be checked and kept elsewhere."""
    wired = opened()
    rows = 0
    try:
        with wired.database.read() as conn, output.open("w", encoding="utf-8") as file:
            for entry in chain.entries(conn):
                file.write(json.dumps(entry, ensure_ascii=False, sort_keys=True) + "\n")
                rows += 1
    except OSError as exc:
        remedy = "Name a file in a folder that exists and can be written"
        raise StoreError(f"file {output}", f"it cannot be written ({exc.strerror or exc})", remedy) from exc
    if json_:
        emit_json("audit export", {"file": str(output), "rows": rows})
    else:
        say(f"{rows:,} rows written to {output}")


@app.command("anchor")
def anchor_(json_: JsonFlag = False) -> None:
    """Write the head hash to the second place (PLATBOOK_AUDIT_HEAD_FILE) now; every apply does it by itself."""
    wired = opened()
    path = wired.settings.audit_head_file
    if path is None:
        raise Stop("audit anchor: PLATBOOK_AUDIT_HEAD_FILE is not set; name a file on another disk", Exit.NEEDS_PERSON)
    fact = rolled_back(wired.database, path)
    if fact:
        raise Stop(f"audit anchor: {fact}; nothing was written. See `platbook audit verify`")
    anchor(wired.database, path)
    if json_:
        emit_json("audit anchor", {"file": str(path)})
    else:
        say(f"head hash written to {path}")


def _head(text: str) -> tuple[int, str] | None:
    """Row and hash of --head, with what may stand around them in a mail."""
    if not text:
        return None
    found = re.fullmatch(r"\D*(\d{1,18})\W+([0-9a-f]{64})\W*", text.strip().lower(), re.ASCII)
    if found is None:
        raise Stop("audit verify: --head is not ROW:HASH; copy it from the end of an ownership mail", Exit.USAGE)
    return int(found[1]), found[2]


def _short(entry: dict[str, Any]) -> str:
    where = " ".join(entry[name] for name in ("plan_id", "run_id", "item_id") if entry[name])
    text = f"{where} {json.dumps(entry['body'], ensure_ascii=False, sort_keys=True)}".strip()
    return text if len(text) <= BODY_SHOWN else f"{text[:BODY_SHOWN]} …"
