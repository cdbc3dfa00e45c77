"""YAML text to plain values that remember the line each one stands on.

Scalars follow the YAML 1.2 core rules: only true and false are booleans, dates stay text, and numbers with leading
zeros stay text, so that state codes, ids and ZIP codes survive.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

Path = tuple[str | int, ...]
"""Keys and list positions from the top of the file to a value."""

_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingProblem:
    """One thing wrong in a YAML file, at the place where it stands."""

    file: str
    line: int
    fact: str  # what was found and what was expected
    suggestion: str = ""  # near miss, empty when there is none

    def __str__(self) -> str:
        hint = f" Did you mean {self.suggestion}?" if self.suggestion else ""
        return f"{self.file}:{self.line}: {self.fact}.{hint}"


@dataclass(slots=True)
class Document:
    """A file as plain values, with the line of every path and what YAML itself found wrong."""

    file: str
    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[MappingProblem] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """Line of the value, or of the closest thing around it that exists."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return 1

    def problem(self, path: Path, fact: str, suggestion: str = "") -> MappingProblem:
        """A problem at the place of `path`."""
        return MappingProblem(file=self.file, line=self.line(path), fact=fact, suggestion=suggestion)


class _Loader(yaml.SafeLoader):
    """Composes with the YAML 1.2 core rules for plain scalars."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own shape


for _tag, _pattern, _first in (
    ("bool", r"(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("null", r"(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)$", "-+0123456789"),
    ("float", r"[-+]?(?:0|[1-9][0-9]*)\.[0-9]+$", "-+0123456789"),
    ("merge", r"<<$", "<"),
):
    _Loader.add_implicit_resolver(_TAG + _tag, re.compile(_pattern), list(_first))


def read(text: str, file: str) -> Document:
    """The document of one YAML text; `problems` holds syntax errors, duplicate keys and endless aliases."""
    document = Document(file=file)
    try:
        node = yaml.compose(text, Loader=_Loader)
        if node is not None:
            document.data = _Builder(document).value(node, (), ())
    except yaml.YAMLError as exc:
        document.problems.append(_syntax_problem(exc, file))
    except RecursionError:
        document.problems.append(document.problem((), "nested too deep to be read"))
    return document


def _syntax_problem(exc: yaml.YAMLError, file: str) -> MappingProblem:
    mark = getattr(exc, "problem_mark", None)
    what = getattr(exc, "problem", None) or getattr(exc, "reason", None) or "unreadable characters"
    return MappingProblem(file=file, line=mark.line + 1 if mark else 1, fact=f"not valid YAML: {what}")


_MAX_VALUES = 200_000  # aliases of aliases grow without end; the largest honest file has some ten thousand


class _Builder:
    """Turns nodes into plain values and notes their lines."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._count = 0

    def value(self, node: yaml.Node, path: Path, above: tuple[int, ...]) -> Any:
        self._document.lines.setdefault(path, node.start_mark.line + 1)
        self._count += 1
        if id(node) in above or self._count > _MAX_VALUES:
            self._report(path, "an alias that contains itself, or a file that is far too large")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, (*above, id(node)))
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, i), (*above, id(node))) for i, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path, above: tuple[int, ...]) -> dict[str, Any]:
        built: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag == _TAG + "merge":
                self._report((*path, "?"), "a key must be a plain word; lists, maps and << are not used here", line)
                continue
            key = str(key_node.value)
            if key in first:
                self._report((*path, key), f"key {key!r} stands twice, first on line {first[key]}", line)
                continue
            first[key] = line
            self._document.lines[(*path, key)] = line
            built[key] = self.value(value_node, (*path, key), above)
        return built

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        text = str(node.value)
        kind = node.tag.removeprefix(_TAG)
        if kind == "bool":
            return text.lower() == "true"
        if kind == "null":
            return None
        if kind in ("int", "float"):
            return self._number(kind, text, path)
        if kind != "str":
            self._report(path, f"tag {node.tag} is not used here; write the value without it")
        return text

    def _number(self, kind: str, text: str, path: Path) -> int | float | None:
        try:
            return int(text) if kind == "int" else float(text)
        except ValueError:  # a tag written by hand, or more digits than Python converts
            self._report(path, f"{text[:40]!r} is not a number")
            return None

    def _report(self, path: Path, fact: str, line: int | None = None) -> None:
        problem = self._document.problem(path, fact)
        if line is not None:
            problem = MappingProblem(file=problem.file, line=line, fact=fact)
        self._document.problems.append(problem)
