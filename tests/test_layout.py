"""The tree keeps its promises: sizes, docstrings, forbidden words, and who owns the top-level names."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("mappings", "sync", "connectors", "store", "jobs", "sandbox")
PURE = ("mappings", "sync")
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
FORBIDDEN_NAMES = {"utils", "util", "common", "core", "helpers", "helper", "misc", "manager"}

LONG_FUNCTIONS: dict[str, str] = {}
"""path:function -> why it may be longer than the limit."""


def _tracked(pattern: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    return [ROOT / name for name in listed if (ROOT / name).exists()]


SOURCES = _tracked("*.py")
SHIPPED = [path for path in SOURCES if path.relative_to(ROOT).parts[0] in ROOMS]


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_a_file_is_at_most_500_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES


@pytest.mark.parametrize("path", SHIPPED, ids=_name)
def test_a_function_body_is_at_most_60_lines(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    long = [
        f"{_name(path)}:{node.name} has {size} lines"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (size := (node.end_lineno or 0) - node.body[0].lineno + 1) > MAX_FUNCTION_LINES
        and f"{_name(path)}:{node.name}" not in LONG_FUNCTIONS
    ]
    assert not long


@pytest.mark.parametrize("path", SHIPPED, ids=_name)
def test_a_module_says_in_its_first_line_what_it_is_for(path: Path) -> None:
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert doc, f"{_name(path)} has no docstring"


def _inits() -> list[Path]:
    return [path for path in SHIPPED if path.name == "__init__.py"]


@pytest.mark.parametrize("path", _inits(), ids=_name)
def test_a_package_file_holds_one_docstring_and_imports_nothing(path: Path) -> None:
    body = ast.parse(path.read_text(encoding="utf-8")).body
    assert len(body) == 1


def test_every_room_is_a_package_and_no_file_is_called_utils() -> None:
    for path in SHIPPED:
        assert path.stem not in FORBIDDEN_NAMES, f"{_name(path)}: a name that says nothing"
        assert (path.parent / "__init__.py").exists(), f"{_name(path)} lies in a folder without __init__.py"


@pytest.mark.parametrize("room", PURE)
def test_the_pure_rooms_open_no_file(room: str) -> None:
    for path in (ROOT / room).rglob("*.py"):
        if _name(path) == "mappings/load.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Name):
                assert called.id not in {"open", "print", "input", "eval", "exec"}, f"{_name(path)}:{called.lineno}"
            if isinstance(called, ast.Attribute):
                assert called.attr not in {"now", "utcnow", "today", "read_text", "uuid4"}, (
                    f"{_name(path)}:{called.lineno}"
                )


@pytest.mark.parametrize("room", ROOMS)
def test_no_other_distribution_owns_a_top_level_name(room: str) -> None:
    owners = set(packages_distributions().get(room, []))
    assert owners <= {"platbook"}
    location = Path(importlib.import_module(room).__file__ or "")
    assert location.is_relative_to(ROOT)


def test_the_repository_names_no_machine_path_and_no_registry_host() -> None:
    words = re.compile(
        "|".join(["/" + "work/", "/" + "root/", "bash" + "_jobs", "pypi" + r"\.org", "pythonhosted" + r"\.org"])
    )
    hits = [
        f"{_name(path)}:{number}"
        for path in _tracked("*")
        if path.suffix in {".py", ".md", ".toml", ".yaml", ".lock", ".cfg", ".ini", ".txt", ".example", ""}
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if words.search(line)
    ]
    assert not hits
