"""How links are told: lines for people, JSON, and the waterfall picture of each weight."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.charts import ChartError, save, waterfalls
from jobs.cli.exits import Exit, Stop
from jobs.cli.output import say
from jobs.identity import Explained, LinkStory, pictures, waterfall
from mappings.identity_policy import MatchModel
from sync.identity.contest import OpenPair
from sync.identity.sticky import Party

ChartOption = Annotated[
    Path | None, typer.Option("--chart", help="Draw each weight as a waterfall into this .svg or .png file.")
]
_SAID_APART = ("parts", "key")


def show_story(story: LinkStory) -> None:
    """Each link with its evidence, its weight step by step and what persons said; then what is open."""
    for one in story.links:
        say(f"{party((one.source, one.source_id))} is account {one.account_id}, linked by {one.how}", style="bold")
        for key, value in one.evidence.items():
            if key not in _SAID_APART and value not in ("", None):
                say(f"  {key}: {value}")
        for line in waterfall(one.parts):
            say(f"  {line}")
        for said in one.decisions:
            say(f"  {said['at'][:10]} {said['by']}: {said['verdict']}, because: {said['reason']}")
    for pair in story.open_pairs:
        say(f"open: {party(pair.party)} and {party(pair.other)}, {pair.chance:.0%}: {pair.reason}", style="bold")
        for line in waterfall(pair.parts):
            say(f"  {line}")


def draw_story(story: LinkStory, model: MatchModel | None, path: Path) -> None:
    """The picture. Ends the command where there is nothing to draw, or no such file can be written."""
    try:
        save(waterfalls(pictures(story, model)), path)
    except (ChartError, OSError) as error:
        raise Stop(f"--chart {path.name}: {error}", Exit.USAGE) from error


def story_payload(story: LinkStory) -> dict[str, Any]:
    """Plain values for JSON."""
    return {"links": [_link(one) for one in story.links], "open": [_open(one) for one in story.open_pairs]}


def party(one: Party) -> str:
    """A record or firm as source:id."""
    return ":".join(one)


def _link(one: Explained) -> dict[str, Any]:
    return {
        "source": one.source,
        "source_id": one.source_id,
        "name": one.name,
        "account_id": one.account_id,
        "how": one.how,
        "evidence": dict(one.evidence),
        "decisions": [dict(said) for said in one.decisions],
    }


def _open(one: OpenPair) -> dict[str, Any]:
    return {
        "party": list(one.party),
        "other": list(one.other),
        "names": [one.name, one.other_name],
        "chance": round(one.chance, 4),
        "reason": one.reason,
        "parts": one.parts,
    }
