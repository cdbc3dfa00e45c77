"""Who acts: a verified person by a personal token, or else the user of the operating system, who is not one."""

from __future__ import annotations

import getpass
import json
import os
from pathlib import Path

import typer

from jobs.wiring import Wired
from store.decisions import Person
from store.persons import Persons, Role, reaches
from store.tokens import TokenRefused, Tokens

APP = "platbook"
TOKEN_FILE = "tokens.json"  # noqa: S105  # a file's name


class NotPermitted(Exception):
    """This person may not do this; nothing was done. The message says what is needed."""


def identify(wired: Wired) -> Person:
    """The person of this process. Raises TokenRefused for a token that gives no access: it never falls back."""
    secret = wired.settings.token.get_secret_value() or stored_token(wired.database.subject)
    if not secret:
        return Person(name=getpass.getuser())
    return Tokens(wired.database).verify(secret, purpose="command")


def require(wired: Wired, needed: Role, what: str) -> None:
    """Let go on who may do this. Without `require_verified_person` an unverified user may; a verified one needs it.

    Raises NotPermitted; the refusal is audited.
    """
    person = wired.person
    if person.is_verified and reaches(person.role, needed):
        return
    if not person.is_verified and not wired.mappings.policies.conflicts.require_verified_person:
        return
    _refuse(wired, needed, what)


def require_admin(wired: Wired, what: str) -> None:
    """Let an admin go on; where no admin has a valid token, the owner of the database. Raises NotPermitted."""
    if wired.person.is_verified and reaches(wired.person.role, Role.ADMIN):
        return
    if not wired.person.is_verified and not _has_admin(wired) and not Persons(wired.database).refuse_owner():
        return
    _refuse(wired, Role.ADMIN, what)


def _has_admin(wired: Wired) -> bool:
    """True while somebody can act as admin: otherwise the register could never be opened again."""
    admins = {one.name for one in Persons(wired.database).list() if one.role is Role.ADMIN and one.active}
    now = wired.database.now()
    valid = (one for one in Tokens(wired.database).list() if one.revoked_at is None and one.expires_at > now)
    return any(one.person in admins for one in valid)


def login(wired: Wired, secret: str) -> tuple[Person, Path]:
    """Check a token and keep it for later commands on this database, readable by this user alone."""
    found = Tokens(wired.database).verify(secret, purpose="login")
    return found, _store(wired.database.subject, secret.strip())


def logout(wired: Wired) -> bool:
    """Forget the token kept for this database; True if there was one."""
    was_there = bool(stored_token(wired.database.subject))
    if was_there:
        _store(wired.database.subject, "")
    return was_there


def stored_token(subject: str) -> str:
    """The token kept for a database; "" for none. Raises TokenRefused where others could read the file."""
    path = _path()
    if not path.is_file():
        return ""
    if path.stat().st_mode & 0o077:
        raise TokenRefused(f"{path}: other users of this machine can read it. chmod 600 it, and have the token revoked")
    return str(_read(path).get(_key(subject), ""))


def _refuse(wired: Wired, needed: Role, what: str) -> None:
    person = wired.person
    Tokens(wired.database).note_refusal(person, what=what, needed=needed)
    if not person.is_verified:
        raise NotPermitted(
            f"{what}: {person.label} is not a verified person. Log in with a personal token of the role {needed} "
            "(`platbook login`, or PLATBOOK_TOKEN); an admin makes one: `platbook people token`"
        )
    raise NotPermitted(
        f"{what}: {person.name} has the role {person.role}, it takes {needed}. An admin can change the role: "
        "`platbook people role`"
    )


def _store(subject: str, secret: str) -> Path:
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = {**(_read(path) if path.is_file() else {}), _key(subject): secret}
    draft = path.with_suffix(".draft")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump({key: value for key, value in kept.items() if value}, file, indent=1, sort_keys=True)
    draft.replace(path)
    return path


def _read(path: Path) -> dict[str, str]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise TokenRefused(f"{path}: not readable as JSON. Delete it and log in again") from error


def _key(subject: str) -> str:
    """Tokens belong to a database: a relative path means another one in another folder."""
    scheme, separator, path = subject.partition("sqlite:///")
    return f"{scheme}{separator}{Path(path).resolve()}" if separator else subject


def _path() -> Path:
    return Path(typer.get_app_dir(APP)) / TOKEN_FILE
