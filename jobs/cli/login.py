"""platbook login."""

from __future__ import annotations

import sys
from getpass import getpass
from typing import Annotated

import typer

from jobs import persons
from jobs.cli.exits import Exit, Stop
from jobs.cli.opened import opened
from jobs.cli.output import JsonFlag, emit_json, say


def login(
    logout: Annotated[bool, typer.Option("--logout", help="Forget the token kept for this database instead.")] = False,
    json_: JsonFlag = False,
) -> None:
    """Check a personal token, read from the terminal or standard input, and keep it for later commands."""
    wired = opened(identified=False)
    if logout:
        was_there = persons.logout(wired)
        if json_:
            emit_json("login", {"person": "", "forgotten": was_there})
        else:
            say("the token is forgotten" if was_there else "no token was kept for this database")
        return
    secret = getpass("token: ") if sys.stdin.isatty() else sys.stdin.readline()
    if not secret.strip():
        raise Stop("login: no token was given; paste it, or pipe it in. It is not taken as an argument", Exit.USAGE)
    person, path = persons.login(wired, secret)
    if json_:
        emit_json("login", {"person": person.name, "role": person.role, "file": str(path)})
    else:
        say(f"logged in as {person.name} ({person.role}); the token is kept in {path}, readable by you alone")
