"""Settings read and the parts wired: what every verb begins with."""

from __future__ import annotations

from pydantic import ValidationError

from jobs.cli.exits import Exit, Stop
from jobs.persons import identify
from jobs.settings import Settings
from jobs.wiring import Wired


def read_settings() -> Settings:
    """The settings of this process. Ends the command with every bad variable named."""
    try:
        return Settings()
    except ValidationError as error:
        lines = [
            f"  PLATBOOK_{'__'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        ]
        raise Stop(
            "settings cannot be used; correct the environment or .env (see docs/configuration.md):\n"
            + "\n".join(lines),
            Exit.NEEDS_PERSON,
        ) from None


def opened(*, migrate: bool = True, identified: bool = True) -> Wired:
    """All parts, with the database's schema up to date and the person known by his token, where there is one."""
    wired = Wired(settings=read_settings())
    if migrate:
        wired.database.migrate()
        if identified:
            wired.person = identify(wired)
    return wired
