"""The first files of an installation: settings to fill in, mappings and policies to edit, and an empty state."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from jobs.settings import Settings, documented
from jobs.wiring import HUBSPOT, SALESFORCE, Wired
from store.connections import Mode

ENV, MAPPINGS = ".env", "mappings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Initialised:
    """What was made; what was there stays as it is."""

    folder: Path
    settings_written: bool
    mappings_written: int
    database: str
    observing: tuple[str, ...]  # connections set to observe; none where the state was there before


def initialise(folder: Path, *, read: Callable[[], Settings] = Settings) -> Initialised:
    """Write what is missing. A new state only observes: nothing is written to a CRM until an admin says so.

    `read` is called in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    env = folder / ENV
    written = not env.exists()
    if written:
        _write_private(env, _settings_text())
    copied = _copy_mappings(folder / MAPPINGS)
    with contextlib.chdir(folder):
        wired = Wired(settings=read())
        is_new = not wired.database.exists()
        wired.database.migrate()
        observing = _observe(wired) if is_new else ()
    return Initialised(
        folder=folder,
        settings_written=written,
        mappings_written=copied,
        database=wired.database.subject,
        observing=observing,
    )


def _observe(wired: Wired) -> tuple[str, ...]:
    for kind in (HUBSPOT, SALESFORCE):
        wired.pins.set_mode(kind, Mode.OBSERVE, kind=kind, by=wired.person)
    return (HUBSPOT, SALESFORCE)


def _copy_mappings(target: Path) -> int:
    """Copy the packaged YAML files that are not there yet; how many."""
    copied = 0
    with as_file(files("mappings")) as packaged:
        for path in sorted(packaged.rglob("*.yaml")):
            place = target / path.relative_to(packaged)
            if not place.exists() and not (target / place.name).exists():  # policies may lie at the top
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place)
                copied += 1
    return copied


def _settings_text() -> str:
    lines = ["# Settings of Platbook; meanings: docs/configuration.md. This file holds secrets: keep it to yourself."]
    for (name, meaning), value in zip(documented().items(), _defaults(), strict=True):
        shown = MAPPINGS if name == "PLATBOOK_MAPPINGS_DIR" else value
        lines += [f"# {meaning}", f"{name}={shown}"]
    return "\n".join([*lines, ""])


def _defaults() -> Iterator[str]:
    """Default of every setting in the order of `documented`, as it is written in a file of settings."""
    for name in Settings.model_fields:
        default: Any = Settings.model_fields[name].default
        parts = type(default).model_fields if hasattr(type(default), "model_fields") else None
        for value in [getattr(default, part) for part in parts] if parts else [default]:
            yield _written(value)


def _written(value: Any) -> str:
    if value is None or hasattr(value, "get_secret_value"):
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _write_private(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
