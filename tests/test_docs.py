"""The documents agree with the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobs.cli.app import app
from jobs.settings import documented

ROOT = Path(__file__).parent.parent


def _example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_the_example_environment_names_every_setting_in_order_and_no_other() -> None:
    assert list(_example()) == list(documented())


def test_the_example_environment_holds_no_secret() -> None:
    secret = re.compile(r"SECRET|TOKEN|PASSWORD")
    assert not [name for name, value in _example().items() if secret.search(name) and value]


def test_the_example_environment_holds_the_defaults() -> None:
    from jobs.settings import Settings

    plain = Settings(_env_file=None)  # type: ignore[call-arg]  # pydantic-settings' own keyword
    for name, written in _example().items():
        value: object = plain
        for part in name.removeprefix("PLATBOOK_").lower().split("__"):
            value = getattr(value, part)
        shown = "" if value is None or "Secret" in type(value).__name__ else str(value)
        assert written == (shown.lower() if isinstance(value, bool) else shown), name


def test_the_configuration_page_names_every_setting_with_its_meaning() -> None:
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    for name, meaning in documented().items():
        assert f"`{name}`" in page
        assert meaning in page, name


VERBS = sorted(command.name or command.callback.__name__ for command in app.registered_commands if command.callback)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_is_documented_and_has_help(verb: str) -> None:
    page = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    assert f"## platbook {verb}" in page
    command = next(c for c in app.registered_commands if (c.name or c.callback.__name__) == verb)  # type: ignore[union-attr]  # checked above
    assert command.callback is not None
    assert command.callback.__doc__


def test_the_readme_starts_with_the_two_commands() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert page.index("make demo") < page.index("make test") < page.index("## ")


def test_every_make_target_the_readme_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"make ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8"))):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_links_between_the_documents_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
