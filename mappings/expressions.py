"""The closed grammar of predicates, tiers and routing rules: YAML nodes to trees. Nothing is ever run as code.

    {eq: [fact, value]}    {in: [fact, [value, ...]]}    {gt|gte|lt|lte: [fact, whole number]}
    {all: [expr, ...]}     {any: [expr, ...]}            {not: expr}
    {at_least: [k, [expr, ...]]}                         name      (a bare word: a named predicate)

`check` lists every fault of a node with its place; `parse` gives the tree. Values are text, whole numbers (cents,
basis points, counts) or true/false. An unknown fact makes a comparison unknown; all, any, not and at_least then
follow Kleene logic: all = false if one is false, else unknown if one is unknown; any = the mirror of it; at_least k =
true once k are true, false once fewer than k can still be true.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

Scalar = str | int | bool
Operator = Literal["eq", "in", "gt", "gte", "lt", "lte"]

COMPARISONS: tuple[Operator, ...] = ("eq", "in", "gt", "gte", "lt", "lte")
CONNECTIVES = ("all", "any", "not", "at_least")
_ORDERED = ("gt", "gte", "lt", "lte")
_MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Compare:
    """A fact against a constant; `value` is a tuple for `in`, a whole number for the four order operators."""

    op: Operator
    field: str
    value: Scalar | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class All:
    """True when every item is."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Any_:  # noqa: N801 - `Any` is taken by typing
    """True when one item is."""

    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The contrary; unknown stays unknown."""

    item: Expr


@dataclass(frozen=True, slots=True)
class AtLeast:
    """True when at least `k` items are."""

    k: int
    items: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Ref:
    """A named predicate of the same policy."""

    name: str


Expr = Compare | All | Any_ | Not | AtLeast | Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing wrong in a node. `path` leads from the node to the place: keys and list positions."""

    path: tuple[str | int, ...]
    message: str  # fact and expectation
    suggestion: str = ""  # near miss, empty when there is none


class ExpressionError(ValueError):
    """The node is not an expression; `faults` says where and why."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(f.message for f in faults))
        self.faults = faults


def parse(node: Any) -> Expr:
    """The tree of a YAML node. Raises ExpressionError with every fault; whether names exist is asked with `check`."""
    faults = check(node)
    if faults:
        raise ExpressionError(faults)
    return _build(node)


def check(
    node: Any,
    *,
    predicates: frozenset[str] | None = None,
    facts: Mapping[str, tuple[type, tuple[str, ...]]] | None = None,
) -> tuple[Fault, ...]:
    """Every fault of a node: shape, operators, and, where given, names of predicates and facts, types and choices.

    `facts` maps a fact to its Python type (str, int, bool) and its allowed texts (empty = open).
    """
    return tuple(_Checker(predicates, facts).faults(node, (), 0))


def near(word: object, known: Iterable[str]) -> str:
    """The known word that was probably meant, or empty."""
    matches = get_close_matches(str(word), sorted(known), n=1, cutoff=0.6)
    return matches[0] if matches else ""


def walk(expr: Expr) -> Iterator[Expr]:
    """The expression and all below it, top down."""
    yield expr
    match expr:
        case All(items) | Any_(items) | AtLeast(_, items):
            for item in items:
                yield from walk(item)
        case Not(item):
            yield from walk(item)
        case _:
            return


def references(expr: Expr) -> frozenset[str]:
    """Names of the predicates an expression mentions directly."""
    return frozenset(e.name for e in walk(expr) if isinstance(e, Ref))


def evaluate(expr: Expr, fact: Callable[[str], Scalar | None], predicate: Callable[[str], bool | None]) -> bool | None:
    """True, false or None (unknown), by Kleene logic, for one set of facts. `fact` gives None for an unknown one."""
    match expr:
        case Ref(name):
            return predicate(name)
        case Compare(op, field, value):
            return _compare(op, fact(field), value)
        case Not(item):
            inner = evaluate(item, fact, predicate)
            return None if inner is None else not inner
        case All(items):
            return _at_least(len(items), [evaluate(i, fact, predicate) for i in items])
        case Any_(items):
            return _at_least(1, [evaluate(i, fact, predicate) for i in items])
        case AtLeast(k, items):
            return _at_least(k, [evaluate(i, fact, predicate) for i in items])


def _at_least(k: int, results: list[bool | None]) -> bool | None:
    if results.count(True) >= k:
        return True
    return False if results.count(True) + results.count(None) < k else None


def _compare(op: Operator, actual: Scalar | None, value: Scalar | tuple[Scalar, ...]) -> bool | None:
    if actual is None:
        return None
    if isinstance(value, tuple):
        return actual in value
    if op == "eq":
        return actual == value
    if not isinstance(actual, int) or not isinstance(value, int):
        return None
    return {"gt": actual > value, "gte": actual >= value, "lt": actual < value, "lte": actual <= value}[op]


def _build(node: Any) -> Expr:
    """The tree of a node that `check` found free of faults."""
    if isinstance(node, str):
        return Ref(node)
    ((word, body),) = node.items()
    if word == "not":
        return Not(_build(body))
    if word == "all":
        return All(tuple(_build(item) for item in body))
    if word == "any":
        return Any_(tuple(_build(item) for item in body))
    if word == "at_least":
        return AtLeast(body[0], tuple(_build(item) for item in body[1]))
    value = tuple(body[1]) if word == "in" else body[1]
    return Compare(word, body[0], value)


class _Checker:
    """Walks a node and yields faults; knows the names in scope."""

    def __init__(
        self, predicates: frozenset[str] | None, facts: Mapping[str, tuple[type, tuple[str, ...]]] | None
    ) -> None:
        self._predicates = predicates
        self._facts = facts

    def faults(self, node: Any, path: tuple[str | int, ...], depth: int) -> Iterator[Fault]:
        if depth > _MAX_DEPTH:
            yield Fault(path=path, message=f"expression is nested deeper than {_MAX_DEPTH} levels")
        elif isinstance(node, str):
            yield from self._name(node, path)
        elif not isinstance(node, dict) or len(node) != 1:
            yield Fault(
                path=path, message=f"{_shown(node)} is not an expression: write a predicate name or one operator"
            )
        else:
            ((word, body),) = node.items()
            yield from self._operator(word, body, (*path, str(word)), depth)

    def _operator(self, word: Any, body: Any, path: tuple[str | int, ...], depth: int) -> Iterator[Fault]:
        if word in COMPARISONS:
            yield from self._comparison(word, body, path)
        elif word == "not":
            yield from self.faults(body, path, depth + 1)
        elif word in ("all", "any"):
            yield from self._items(body, path, depth)
        elif word == "at_least":
            yield from self._at_least(body, path, depth)
        else:
            operators = (*COMPARISONS, *CONNECTIVES)
            message = f"unknown operator {_shown(word)}; known are {', '.join(operators)}"
            yield Fault(path=path, message=message, suggestion=near(word, operators))

    def _items(self, body: Any, path: tuple[str | int, ...], depth: int) -> Iterator[Fault]:
        if not isinstance(body, list) or not body:
            yield Fault(path=path, message=f"{path[-1]} needs a list of at least one expression, found {_shown(body)}")
            return
        for index, item in enumerate(body):
            yield from self.faults(item, (*path, index), depth + 1)

    def _at_least(self, body: Any, path: tuple[str | int, ...], depth: int) -> Iterator[Fault]:
        if not isinstance(body, list) or len(body) != 2 or not isinstance(body[1], list):
            yield Fault(path=path, message=f"at_least needs [number, [expressions]], found {_shown(body)}")
            return
        count, items = body
        if not _is_whole(count) or not 1 <= count <= len(items):
            message = (
                f"at_least asks for {_shown(count)} of {len(items)}; expected a whole number from 1 to {len(items)}"
            )
            yield Fault(path=(*path, 0), message=message)
        yield from self._items(items, (*path, 1), depth)

    def _comparison(self, word: str, body: Any, path: tuple[str | int, ...]) -> Iterator[Fault]:
        if not isinstance(body, list) or len(body) != 2 or not isinstance(body[0], str):
            yield Fault(path=path, message=f"{word} needs [fact, value], found {_shown(body)}")
            return
        field, value = body
        if self._facts is not None and field not in self._facts:
            message = f"unknown fact {_shown(field)}; known are {', '.join(sorted(self._facts))}"
            yield Fault(path=(*path, 0), message=message, suggestion=near(field, list(self._facts)))
            return
        values = value if word == "in" else [value]
        if not isinstance(values, list) or not values:
            yield Fault(path=(*path, 1), message=f"in needs a list of at least one value, found {_shown(value)}")
            return
        for index, one in enumerate(values):
            yield from self._value(word, field, one, (*path, 1, index) if word == "in" else (*path, 1))

    def _value(self, word: str, field: str, value: Any, path: tuple[str | int, ...]) -> Iterator[Fault]:
        kind, choices = self._facts[field] if self._facts is not None else (None, ())
        if not isinstance(value, str | int):
            yield Fault(path=path, message=f"{_shown(value)} is not text, a whole number or true/false")
        elif word in _ORDERED and (not _is_whole(value) or kind not in (None, int)):
            what = f"{field} is not a number" if kind not in (None, int) else f"{_shown(value)} is not a whole number"
            yield Fault(path=path, message=f"{word} compares whole numbers; {what}")
        elif kind is not None and type(value) is not kind:
            expected = {str: "text", int: "a whole number", bool: "true or false"}[kind]
            yield Fault(path=path, message=f"{field} is compared with {_shown(value)}; expected {expected}")
        elif choices and value not in choices:
            message = f"{field} is never {_shown(value)}; it is one of {', '.join(choices)}"
            yield Fault(path=path, message=message, suggestion=near(value, choices))

    def _name(self, name: str, path: tuple[str | int, ...]) -> Iterator[Fault]:
        if self._predicates is not None and name not in self._predicates:
            message = f"unknown predicate {_shown(name)}; known are {', '.join(sorted(self._predicates)) or 'none'}"
            yield Fault(path=path, message=message, suggestion=near(name, self._predicates))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
