"""Settings read and the parts wired: what every verb begins with."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import ValidationError
from pydantic_settings import SettingsError as SourceError

from jobs.cli.exits import Exit, Stop
from jobs.persons import identify
from jobs.settings import ENV_FILE, Settings, unread
from jobs.wiring import Wired


def read_settings() -> Settings:
    """The settings of this process. Ends the command with every bad variable named."""
    try:
        wrong, settings = unread(), Settings()
    except ValidationError as error:
        raise _unusable(
            f"PLATBOOK_{'__'.join(str(part) for part in problem['loc']).upper()}: {problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False)
        ) from None
    except SourceError as error:
        raise _unusable([f"{error}; write its parts one by one, as .env.example does"]) from None  # may hold a secret
    except UnicodeDecodeError:
        raise _unusable([f"{ENV_FILE}: not UTF-8 text; save it as UTF-8"]) from None
    except OSError as error:
        raise _unusable([f"{ENV_FILE}: it cannot be read ({error.strerror or error})"]) from None
    if wrong:
        raise _unusable(wrong)
    return settings


def _unusable(lines: Iterable[str]) -> Stop:
    listed = "\n".join(f"  {line}" for line in lines)
    head = "settings cannot be used; correct the environment or .env (see docs/configuration.md):"
    return Stop(f"{head}\n{listed}", Exit.NEEDS_PERSON)


def opened(*, migrate: bool = True, identified: bool = True) -> Wired:
    """All parts, with the database's schema up to date and the person known by his token, where there is one."""
    wired = Wired(settings=read_settings())
    if migrate:
        wired.database.migrate()
        if identified:
            wired.person = identify(wired)
    return wired
