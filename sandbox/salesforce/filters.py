"""Conditions of a query, compiled into one test per record."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.ids import id18, is_id
from sandbox.salesforce.schema import NUMBER_TYPES, TEXT_TYPES, Field, Schema
from sandbox.salesforce.soql import Column, Comparison, Condition, Junction, Literal, Not, located
from sandbox.salesforce.values import read, stored_instant
from sandbox.world import Record, World

Test = Callable[[Record], bool]

_KINDS = {"boolean": ("boolean", "boolean"), "date": ("date", "date"), "datetime": ("datetime", "dateTime")}
_UNFILTERED = frozenset({"anyType", "address"})


@dataclass(frozen=True, slots=True)
class Path:
    """A field reached from an object over references."""

    object: str
    steps: tuple[Field, ...]
    field: Field
    names: tuple[str, ...]  # relationship names, then the field's name


class Resolver:
    """Finds fields by path and reads them."""

    def __init__(self, world: World, schema: Schema, text: str) -> None:
        self._world = world
        self._schema = schema
        self._text = text

    def path(self, object_name: str, column: Column) -> Path:
        """The field a column names, whatever the case. ApiError INVALID_FIELD when there is none."""
        *relations, name = column.path.split(".")
        if relations and relations[0].lower() == object_name.lower():
            relations = relations[1:]
        steps: list[Field] = []
        here = object_name
        for relation in relations:
            step = self._schema.by_relationship(here, relation)
            if step is None:
                raise self._unknown(
                    column,
                    f"Didn't understand relationship '{relation}' in field path. If you are attempting to use a "
                    "custom relationship, be sure to append the '__r' after the custom relationship name.",
                )
            steps.append(step)
            here = step.refers_to
        field = self._schema.field(here, name)
        if field is None:
            raise self._unknown(
                column,
                f"No such column '{name}' on entity '{here}'. If you are attempting to use a custom field, be sure to "
                "append the '__c' after the custom field name. Please reference your WSDL or the describe call for "
                "the appropriate names.",
            )
        return Path(object_name, tuple(steps), field, (*(step.relationship for step in steps), field.name))

    def value(self, record: Record, path: Path) -> Any:
        """The value at the end of a path; None when a reference on the way is empty."""
        here, object_name = record, path.object
        for step in path.steps:
            object_name = step.refers_to
            found = self._world.get("salesforce", object_name, here.get(step.name) or "")
            if found is None:
                return None
            here = found
        return read(object_name, here, path.field)

    def _unknown(self, column: Column, text: str) -> ApiError:
        return ApiError("INVALID_FIELD", located(self._text, column.at, text))


def compiled(condition: Condition | None, object_name: str, resolver: Resolver) -> Test:
    """The test of a condition; everything passes None."""
    if condition is None:
        return lambda record: True
    if isinstance(condition, Not):
        inner = compiled(condition.part, object_name, resolver)
        return lambda record: not inner(record)
    if isinstance(condition, Junction):
        tests = [compiled(part, object_name, resolver) for part in condition.parts]
        join = all if condition.op == "AND" else any
        return lambda record: join(test(record) for test in tests)
    return _comparison(condition, object_name, resolver)


def _comparison(condition: Comparison, object_name: str, resolver: Resolver) -> Test:
    path = resolver.path(object_name, condition.column)
    field = path.field
    if field.type in _UNFILTERED or field.name == "Description":
        raise ApiError("INVALID_FIELD", f"field '{field.name}' can not be filtered in a query call")
    if condition.op == "LIKE":
        return _like(path, condition.values[0], resolver)
    wanted = [_comparable(field, literal) for literal in condition.values]
    if condition.op in ("IN", "=", "NOT IN", "!="):
        among, negated = frozenset(wanted), condition.op in ("NOT IN", "!=")
        return lambda record: (_key(field, resolver.value(record, path)) in among) != negated
    return _ordered(condition.op, path, wanted[0], resolver)


def _ordered(op: str, path: Path, wanted: Any, resolver: Resolver) -> Test:
    compare: Callable[[Any], bool] = {
        "<": lambda value: value < wanted,
        "<=": lambda value: value <= wanted,
        ">": lambda value: value > wanted,
        ">=": lambda value: value >= wanted,
    }[op]
    if wanted is None or path.field.type == "boolean":
        raise ApiError("INVALID_QUERY_FILTER_OPERATOR", f"field '{path.field.name}' cannot be compared by {op}")

    def test(record: Record) -> bool:
        value = _key(path.field, resolver.value(record, path))
        return value is not None and compare(value)

    return test


def _like(path: Path, literal: Literal, resolver: Resolver) -> Test:
    if path.field.type not in TEXT_TYPES or literal.kind != "string":
        raise ApiError("INVALID_QUERY_FILTER_OPERATOR", f"invalid operator on {path.field.type} field")
    pattern = re.compile(_like_pattern(literal.pattern), re.IGNORECASE | re.DOTALL)

    def test(record: Record) -> bool:
        value = resolver.value(record, path)
        return value is not None and pattern.fullmatch(str(value)) is not None

    return test


def _like_pattern(raw: str) -> str:
    """A regular expression for a LIKE pattern whose escapes are still in place."""
    plain = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
    parts = []
    for match in re.finditer(r"\\(.)|(.)", raw, re.DOTALL):
        escaped, bare = match.groups()
        if escaped is not None:
            parts.append(re.escape(plain.get(escaped, escaped)))
        else:
            parts.append({"%": ".*", "_": "."}.get(bare) or re.escape(bare))
    return "".join(parts)


def _comparable(field: Field, literal: Literal) -> Any:
    """A literal in the form `_key` gives stored values. ApiError when its kind does not fit the field."""
    if literal.kind == "null":
        return None
    if field.type in _KINDS:
        kind, word = _KINDS[field.type]
        if literal.kind != kind:
            raise _wrong_kind(field, word)
    elif field.type in NUMBER_TYPES:
        if literal.kind != "number":
            raise _wrong_kind(field, "double" if field.type != "int" else "int")
        return float(literal.text)
    elif literal.kind != "string":
        raise _wrong_kind(field, "string and should be")
    if field.type in ("id", "reference") and literal.text and not is_id(literal.text):
        raise ApiError("INVALID_QUERY_FILTER_OPERATOR", f"invalid ID field: {literal.text}")
    return _key(field, literal.text == "true" if field.type == "boolean" else literal.text)


def _key(field: Field, value: Any) -> Any:
    """A stored value in comparable form: text without case, ids with 18 characters, instants as sortable text."""
    if value is None or value == "":
        return None
    if field.type in TEXT_TYPES:
        return str(value).casefold()
    if field.type in ("id", "reference"):
        return id18(str(value))
    if field.type == "datetime":
        return stored_instant(str(value))
    return float(value) if field.type in NUMBER_TYPES else value


def sort_key(field: Field, value: Any) -> Any:
    """A key that orders values of one field."""
    return _key(field, value)


def _wrong_kind(field: Field, word: str) -> ApiError:
    quotes = word if word.startswith("string") else f"{word} and should not be"
    text = f"value of filter criterion for field '{field.name}' must be of type {quotes} enclosed in quotes"
    return ApiError("INVALID_FIELD", text)
