"""The `--where` language: which plan rows a person means.

`state=conflict and (group=ownership or to!=maria@x) and depth>=2`: words compared with =, !=, <, <=, >, >=, ~
(contains), joined by `and`, `or`, `not` and parentheses. A value with spaces stands in double quotes. Comparison
ignores case; two numbers are compared as numbers. A field that a row does not have is an error, so that a typing
mistake selects nothing by accident.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches

Row = Mapping[str, object]
Predicate = Callable[[Row], bool]

_TOKEN = re.compile(
    r'\s*(?:(?P<text>"(?:[^"\\]|\\.)*")|(?P<op>!=|<=|>=|=|<|>|~)|(?P<paren>[()])|(?P<word>[^\s()=!<>~"]+))'
)


class SelectorError(ValueError):
    """The selector cannot be read; the message says where and what was expected."""


def parse(text: str, fields: Iterable[str]) -> Predicate:
    """The predicate that a selector stands for. Raises SelectorError; an empty selector selects everything."""
    tokens = _tokens(text)
    if not tokens:
        return lambda row: True
    parser = _Parser(text, tokens, frozenset(fields))
    predicate = parser.either()
    if parser.rest():
        raise SelectorError(
            f'selector "{text}": "{parser.rest()[0]}" was not expected here; join conditions by and / or'
        )
    return predicate


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    position = 0
    stripped = text.rstrip()
    while position < len(stripped):
        match = _TOKEN.match(stripped, position)
        if match is None:
            raise SelectorError(f'selector "{text}": unreadable from character {position + 1}; close the quotes')
        tokens.append(match.group(match.lastgroup or 0))
        position = match.end()
    return tokens


class _Parser:
    """Recursive descent over the tokens: or, and, not, comparison."""

    def __init__(self, text: str, tokens: list[str], fields: frozenset[str]) -> None:
        self._text = text
        self._tokens = tokens
        self._fields = fields

    def rest(self) -> list[str]:
        return self._tokens

    def either(self) -> Predicate:
        parts = [self.every()]
        while self._take("or"):
            parts.append(self.every())
        return parts[0] if len(parts) == 1 else lambda row: any(part(row) for part in parts)

    def every(self) -> Predicate:
        parts = [self.negation()]
        while self._take("and"):
            parts.append(self.negation())
        return parts[0] if len(parts) == 1 else lambda row: all(part(row) for part in parts)

    def negation(self) -> Predicate:
        if self._take("not"):
            inner = self.negation()
            return lambda row: not inner(row)
        if self._take("("):
            inner = self.either()
            if not self._take(")"):
                raise SelectorError(f'selector "{self._text}": a closing parenthesis is missing')
            return inner
        return self.comparison()

    def comparison(self) -> Predicate:
        field = self._next("a field")
        if field not in self._fields:
            near = get_close_matches(field, self._fields, n=1)
            hint = f'; did you mean "{near[0]}"?' if near else f"; known: {', '.join(sorted(self._fields))}"
            raise SelectorError(f'selector "{self._text}": no field "{field}"{hint}')
        operator = self._next("one of = != < <= > >= ~")
        if operator not in _OPERATORS:
            raise SelectorError(f'selector "{self._text}": "{operator}" after "{field}", expected = != < <= > >= or ~')
        value = self._next("a value")
        wanted = value[1:-1].replace('\\"', '"') if value.startswith('"') else value
        compare = _OPERATORS[operator]
        return lambda row: compare(_text(row.get(field)), wanted)

    def _take(self, word: str) -> bool:
        if self._tokens and self._tokens[0].lower() == word:
            self._tokens.pop(0)
            return True
        return False

    def _next(self, expected: str) -> str:
        if not self._tokens:
            raise SelectorError(f'selector "{self._text}": ends where {expected} was expected')
        return self._tokens.pop(0)


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _order(left: str, right: str) -> int:
    try:
        a, b = float(left), float(right)
    except ValueError:
        x, y = left.casefold(), right.casefold()
        return (x > y) - (x < y)
    return (a > b) - (a < b)


_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "=": lambda a, b: a.casefold() == b.casefold(),
    "!=": lambda a, b: a.casefold() != b.casefold(),
    "~": lambda a, b: b.casefold() in a.casefold(),
    "<": lambda a, b: _order(a, b) < 0,
    "<=": lambda a, b: _order(a, b) <= 0,
    ">": lambda a, b: _order(a, b) > 0,
    ">=": lambda a, b: _order(a, b) >= 0,
}
