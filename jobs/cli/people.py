"""platbook people: who may do what, and their tokens."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from jobs.cli.exits import Exit, Stop
from jobs.cli.opened import opened
from jobs.cli.output import JsonFlag, emit_json, say, table
from jobs.persons import require_admin
from store.persons import Persons, Role
from store.tokens import Tokens

app = typer.Typer(no_args_is_help=True, help="Persons, their roles and their tokens.")

MAX_DAYS = 366
NameArgument = Annotated[str, typer.Argument(help="E-mail address or login.")]
RoleArgument = Annotated[Role, typer.Argument(help="viewer, reviewer, approver or admin.")]


@app.command("add")
def add(
    name: NameArgument,
    role: Annotated[Role, typer.Option(help="viewer, reviewer, approver or admin.")] = Role.VIEWER,
    json_: JsonFlag = False,
) -> None:
    """Register a person. The first one is an admin, added by who owns the database; later ones by an admin."""
    wired = opened()
    require_admin(wired, "people add")
    persons = Persons(wired.database)
    is_first = not persons.list()
    if is_first and role is not Role.ADMIN:
        raise Stop("people add: the first person has to be an admin; add --role admin", Exit.USAGE)
    made = persons.add(name, role, by=wired.person, is_first=is_first)
    secret = Tokens(wired.database).issue(made.name, by=wired.person)[1] if is_first else ""
    if json_:
        emit_json("people add", {"person": asdict(made), **({"token": secret} if secret else {})})
        return
    say(f"{made.name} is registered as {made.role}")
    if secret:
        say(f"token, shown this once: {secret}")
        say("Keep it: `platbook login` reads it. From now on only an admin changes the register, and a passed limit")
        say("of a plan is let through by a verified person who did not make the plan (`--accept-guard`).")


@app.command("list")
def list_(json_: JsonFlag = False) -> None:
    """List persons and tokens. No token is shown: only its digest is kept."""
    wired = opened()
    persons, tokens = Persons(wired.database).list(), Tokens(wired.database).list()
    if json_:
        emit_json("people list", {"people": [asdict(p) for p in persons], "tokens": [asdict(t) for t in tokens]})
        return
    table(
        "people",
        ("person", "role", "", "added by", "since"),
        [(p.name, p.role, "" if p.active else "has left", p.by, p.at[:10]) for p in persons],
    )
    shown = [(t.id, t.person, t.label, t.expires_at[:10], (t.last_used_at or "never")[:10], _end(t)) for t in tokens]
    table("tokens", ("token", "person", "label", "expires", "last used", ""), shown)


@app.command("role")
def role(name: NameArgument, role: RoleArgument, json_: JsonFlag = False) -> None:
    """Change what a person may do. The last admin stays one."""
    wired = opened()
    require_admin(wired, "people role")
    Persons(wired.database).change(name, by=wired.person, role=role)
    _done("people role", {"person": name, "role": role.value}, f"{name} is {role} now", json_)


@app.command("token")
def token(
    name: NameArgument,
    days: Annotated[int, typer.Option(help="Days until it expires, 1 to 366.")] = 90,
    label: Annotated[str, typer.Option(help="What it is for, such as: laptop.")] = "",
    json_: JsonFlag = False,
) -> None:
    """Make a personal token. It is shown once and kept nowhere."""
    if not 1 <= days <= MAX_DAYS:
        raise Stop(f"people token: --days {days}; expected 1 to {MAX_DAYS}", Exit.USAGE)
    wired = opened()
    require_admin(wired, "people token")
    made, secret = Tokens(wired.database).issue(name, by=wired.person, label=label, days=days)
    if json_:
        emit_json("people token", {"token": secret, **asdict(made)})
        return
    say(f"token {made.id} of {made.person} until {made.expires_at[:10]}, shown this once: {secret}")


@app.command("revoke")
def revoke(
    which: Annotated[str, typer.Argument(help="Token id, or a person: then all tokens of that person end.")],
    leave: Annotated[bool, typer.Option("--leave", help="The person has left: end the tokens and the role.")] = False,
    json_: JsonFlag = False,
) -> None:
    """End a token, or all tokens of a person."""
    wired = opened()
    require_admin(wired, "people revoke")
    ended = Tokens(wired.database).revoke(which, by=wired.person)
    if leave:
        Persons(wired.database).change(which, by=wired.person, active=False)
    _done("people revoke", {"which": which, "ended": ended}, f"{which}: {ended} tokens ended", json_)


def _end(token: object) -> str:
    return "revoked" if getattr(token, "revoked_at", None) else ""


def _done(verb: str, payload: dict[str, object], words: str, as_json: bool) -> None:
    if as_json:
        emit_json(verb, payload)
    else:
        say(words)
