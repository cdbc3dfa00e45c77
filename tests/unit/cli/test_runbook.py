"""The runbook and the page of commands name what the code has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from jobs.applying.model import ItemState
from jobs.cli.app import app
from jobs.cli.exits import Exit
from jobs.present import ROW_FIELDS

ROOT = Path(__file__).parent.parent.parent.parent
SHIPPED = ("mappings", "sync", "connectors", "store", "jobs", "console")
LOGGED = re.compile(r"\blog\.(debug|info|warning|error|exception)\(\s*(\S+?)[,)]")
IN_TABLE = re.compile(r"^\| `([a-z_]+)` \| (debug|info|warning|error) \|", re.MULTILINE)


def _page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def _events() -> set[tuple[str, str]]:
    """(event, level) of every log call in the shipped code."""
    sources = (path for folder in SHIPPED for path in (ROOT / folder).rglob("*.py"))
    calls = [call for path in sources for call in LOGGED.findall(path.read_text(encoding="utf-8"))]
    odd = [event for _, event in calls if not re.fullmatch(r'"[a-z][a-z_]*"', event)]
    assert not odd, f"event names are constant words: {odd}"
    return {(event.strip('"'), level) for level, event in calls}


def test_the_runbook_lists_every_log_event_with_its_level_and_no_other() -> None:
    assert set(IN_TABLE.findall(_page("runbook.md"))) == _events()


def test_the_runbook_says_what_to_do_about_every_result_that_is_not_simply_good() -> None:
    good = {ItemState.VERIFIED, ItemState.CONVERGED, ItemState.KEPT}
    page = _page("runbook.md")
    assert [state.value for state in ItemState if state not in good and f"| `{state.value}` |" not in page] == []


@pytest.mark.parametrize("code", list(Exit))
def test_every_exit_code_is_documented(code: Exit) -> None:
    assert re.search(rf"^\| {code.value} \| ", _page("commands.md"), re.MULTILINE)


def test_every_word_a_selector_may_use_is_documented() -> None:
    table = _page("commands.md").partition("## --where")[2].partition("\n## ")[0]
    assert [name for name in ROW_FIELDS if f"`{name}`" not in table] == []


def test_every_option_of_every_verb_is_documented_in_its_section() -> None:
    missing = []
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]  # a group of verbs
        section = _page("commands.md").partition(f"## platbook {name}\n")[2].partition("\n## ")[0]
        for one in (command, *getattr(command, "commands", {}).values()):
            flags = {flag for param in one.params for flag in param.opts if flag.startswith("--")}
            missing += [(name, flag) for flag in flags - {"--help", "--json", "--output"} if flag not in section]
    assert missing == []
