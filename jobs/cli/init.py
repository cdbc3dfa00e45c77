"""platbook init."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from jobs.cli.opened import read_settings
from jobs.cli.output import JsonFlag, emit_json, say
from jobs.init import MAPPINGS, initialise


def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the installation.")] = Path(),
    json_: JsonFlag = False,
) -> None:
    """Write settings to fill in, mappings and policies to edit, and an empty state that only observes."""
    made = initialise(folder, read=read_settings)
    if json_:
        emit_json("init", asdict(made))
        return
    say(f"{folder / '.env'}: " + ("written; fill in the credentials" if made.settings_written else "left as it is"))
    say(f"{folder / MAPPINGS}: {made.mappings_written} files written; your edits are never touched")
    say(f"{made.database}: ready" + (f", mode observe on {' and '.join(made.observing)}" if made.observing else ""))
    say("next: platbook doctor; platbook crm-fields plan; platbook pull; platbook plan. See docs/first-run.md")
