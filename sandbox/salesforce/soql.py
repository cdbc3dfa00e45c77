"""A parser for the part of SOQL that integrations use. Gives a tree; knows no schema and no records."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from sandbox.salesforce.errors import ApiError

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<string>'(?:[^'\\]|\\.)*')
    |(?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
    |(?P<date>\d{4}-\d\d-\d\d)
    |(?P<number>[+-]?\d+(?:\.\d+)?)
    |(?P<word>[A-Za-z][\w.]*(?::\d+)?)
    |(?P<symbol><=|>=|!=|<>|[=<>(),])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\", "_": "_", "%": "%"}
_COMPARISONS = {"=", "!=", "<>", "<", "<=", ">", ">="}
_FUNCTIONS = {"count", "min", "max", "sum", "avg"}
_MAX_LENGTH = 100_000


@dataclass(frozen=True, slots=True)
class Token:
    """One word, sign or literal, and where it begins."""

    kind: str
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A value in a condition: kind is string, number, date, datetime, boolean or null; text is decoded."""

    kind: str
    text: str
    pattern: str = ""  # a string before its escapes were taken out, for LIKE


@dataclass(frozen=True, slots=True)
class Column:
    """A field path as written, and where."""

    path: str
    at: int
    function: str = ""  # count, min, max, sum, avg
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One condition; op is =, !=, <, <=, >, >=, LIKE, IN or NOT IN."""

    column: Column
    op: str
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """A negated condition."""

    part: Condition


@dataclass(frozen=True, slots=True)
class Junction:
    """Conditions joined by one word, AND or OR."""

    op: str
    parts: tuple[Condition, ...]


Condition = Comparison | Not | Junction


@dataclass(frozen=True, slots=True)
class Ordering:
    """One term of ORDER BY."""

    column: Column
    descending: bool
    nulls_last: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query."""

    text: str
    columns: tuple[Column, ...]  # empty for SELECT COUNT()
    count_only: bool
    object: str
    object_at: int
    where: Condition | None
    group_by: tuple[Column, ...]
    order_by: tuple[Ordering, ...]
    limit: int | None
    offset: int


def parse(text: str) -> Query:
    """The query of a text. ApiError MALFORMED_QUERY when it cannot be read."""
    if len(text) > _MAX_LENGTH:
        raise ApiError("QUERY_TOO_COMPLICATED", f"SOQL statements cannot be longer than {_MAX_LENGTH} characters.")
    return _Parser(text).query()


def located(text: str, at: int, message: str) -> str:
    """An error text with the line it happened in, a caret under the place, and its row and column."""
    row = text.count("\n", 0, at) + 1
    column = at - (text.rfind("\n", 0, at) + 1)
    line = text.split("\n")[row - 1]
    start = max(0, column - 40)
    shown = line[start : column + 40]
    return f"\n{shown}\n{' ' * (column - start)}^\nERROR at Row:{row}:Column:{column + 1}\n{message}"


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._next = 0

    def query(self) -> Query:
        self._keyword("SELECT")
        columns, count_only = self._select()
        self._keyword("FROM")
        source = self._word()
        if self._peek_word() not in ("", "WHERE", "GROUP", "ORDER", "LIMIT", "OFFSET", "FOR", "WITH"):
            self._unexpected()
        where = self._condition() if self._accept("WHERE") else None
        group_by = self._by("GROUP")
        order_by = self._order()
        limit = self._whole() if self._accept("LIMIT") else None
        offset = self._whole() if self._accept("OFFSET") else 0
        if self._next < len(self._tokens):
            self._unexpected()
        return Query(
            self._text, columns, count_only, source.text, source.at, where, group_by, order_by, limit, offset or 0
        )

    def _select(self) -> tuple[tuple[Column, ...], bool]:
        columns = [self._selected()]
        while self._symbol(","):
            columns.append(self._selected())
        bare = [column for column in columns if column.function and not column.path]
        if bare and len(columns) > 1:
            self._fail("unexpected token: COUNT()")
        return ((), True) if bare else (tuple(columns), False)

    def _selected(self) -> Column:
        word = self._word()
        if not self._symbol("("):
            return Column(word.text, word.at)
        if word.text.lower() not in _FUNCTIONS:
            self._fail(f"unexpected token: {word.text}")
        path = "" if self._peek_text() == ")" else self._word().text
        self._require(")")
        if not path and word.text.lower() != "count":
            self._fail(f"unexpected token: {word.text}")
        alias = self._word().text if self._peek_word() not in ("", "FROM") else ""
        return Column(path, word.at, word.text.lower(), alias)

    def _condition(self) -> Condition:
        first = self._negation()
        op = self._peek_word()
        if op not in ("AND", "OR"):
            return first
        parts = [first]
        while self._accept(op):
            parts.append(self._negation())
        if self._peek_word() in ("AND", "OR"):  # the two may not be mixed without parentheses
            self._unexpected()
        return Junction(op, tuple(parts))

    def _negation(self) -> Condition:
        if self._accept("NOT"):
            return Not(self._negation())
        if self._symbol("("):
            inner = self._condition()
            self._require(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Condition:
        word = self._word()
        column = Column(word.text, word.at)
        if self._accept("LIKE"):
            return Comparison(column, "LIKE", (self._literal(),))
        if self._accept("NOT"):
            self._keyword("IN")
            return Comparison(column, "NOT IN", self._list())
        if self._accept("IN"):
            return Comparison(column, "IN", self._list())
        if self._peek_text() not in _COMPARISONS:
            self._unexpected()
        op = self._take().text
        return Comparison(column, "!=" if op == "<>" else op, (self._literal(),))

    def _list(self) -> tuple[Literal, ...]:
        self._require("(")
        values = [self._literal()]
        while self._symbol(","):
            values.append(self._literal())
        self._require(")")
        return tuple(values)

    def _literal(self) -> Literal:
        token = self._take()
        if token.kind == "string":
            return Literal("string", _decoded(token.text[1:-1], token.at), token.text[1:-1])
        if token.kind in ("number", "date", "datetime"):
            return Literal(token.kind, token.text)
        kind = {"true": "boolean", "false": "boolean", "null": "null"}.get(token.text.lower())
        if kind is None:
            self._next -= 1
            self._unexpected()
        return Literal(kind, token.text.lower())

    def _by(self, word: str) -> tuple[Column, ...]:
        if not self._accept(word):
            return ()
        self._keyword("BY")
        columns = [self._column()]
        while self._symbol(","):
            columns.append(self._column())
        return tuple(columns)

    def _order(self) -> tuple[Ordering, ...]:
        if not self._accept("ORDER"):
            return ()
        self._keyword("BY")
        terms = [self._ordering()]
        while self._symbol(","):
            terms.append(self._ordering())
        return tuple(terms)

    def _ordering(self) -> Ordering:
        column = self._column()
        descending = self._accept("DESC")
        if not descending:
            self._accept("ASC")
        nulls_last = False
        if self._accept("NULLS"):
            nulls_last = self._accept("LAST")
            if not nulls_last:
                self._keyword("FIRST")
        return Ordering(column, descending, nulls_last)

    def _column(self) -> Column:
        word = self._word()
        return Column(word.text, word.at)

    def _whole(self) -> int:
        token = self._take()
        if token.kind != "number" or not token.text.isdigit():
            self._next -= 1
            self._unexpected()
        return int(token.text)

    # -- tokens

    def _take(self) -> Token:
        if self._next >= len(self._tokens):
            self._fail("unexpected token: <EOF>")
        self._next += 1
        return self._tokens[self._next - 1]

    def _word(self) -> Token:
        token = self._take()
        if token.kind != "word":
            self._next -= 1
            self._unexpected()
        return token

    def _keyword(self, word: str) -> None:
        if not self._accept(word):
            self._unexpected()

    def _accept(self, word: str) -> bool:
        if self._peek_word() != word:
            return False
        self._next += 1
        return True

    def _symbol(self, text: str) -> bool:
        if self._peek_text() != text:
            return False
        self._next += 1
        return True

    def _require(self, text: str) -> None:
        if not self._symbol(text):
            self._unexpected()

    def _peek_text(self) -> str:
        return self._tokens[self._next].text if self._next < len(self._tokens) else ""

    def _peek_word(self) -> str:
        token = self._tokens[self._next] if self._next < len(self._tokens) else None
        return token.text.upper() if token is not None and token.kind == "word" else ""

    def _unexpected(self) -> NoReturn:
        self._fail(f"unexpected token: {self._peek_text() or '<EOF>'}")

    def _fail(self, message: str) -> NoReturn:
        raise ApiError("MALFORMED_QUERY", message)


def _tokens(text: str) -> list[Token]:
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ApiError("MALFORMED_QUERY", located(text, at, "no viable alternative at this character"))
        kind = match.lastgroup or ""
        if kind != "space":
            found.append(Token(kind, match.group(), at))
        at = match.end()
    return found


def _decoded(raw: str, at: int) -> str:
    def one(match: re.Match[str]) -> str:
        if match.group(1) not in _ESCAPES:
            raise ApiError("MALFORMED_QUERY", f"Illegal escape sequence '\\{match.group(1)}' in string at {at}")
        return _ESCAPES[match.group(1)]

    return re.sub(r"\\(.)", one, raw, flags=re.DOTALL)
