"""A document against its pydantic model: the model's value, or every disagreement with its line and a near miss."""

from __future__ import annotations

from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mappings.expressions import near
from mappings.located import Document, MappingProblem, Path

M = TypeVar("M", bound=BaseModel)

_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "dict_type": "a map of names to values",
    "model_type": "a map of names to values",
}


def validate(document: Document, model: type[M]) -> tuple[M | None, list[MappingProblem]]:
    """The document as `model`, or None and every problem."""
    try:
        return model.model_validate(document.data), []
    except ValidationError as exc:
        errors = exc.errors(include_url=False, include_context=True)
        return None, [_problem(document, model, error) for error in errors]


def _problem(document: Document, model: type[BaseModel], error: ErrorDetails) -> MappingProblem:
    path = tuple(part for part in error["loc"] if part != "[key]")
    if error["type"] == "extra_forbidden":
        known = _fields_at(model, path[:-1])
        fact = f"unknown field {path[-1]!r}; known are {', '.join(sorted(known))}"
        return document.problem(path, fact, near(path[-1], list(known)))
    if error["type"] == "missing":
        return _missing(document, model, path)
    place = _dotted(path) or "the file"
    shown = _shown(error["input"])
    choices = _choices(error)
    if choices:
        fact = f"{place} is {shown}; expected one of {', '.join(choices)}"
        return document.problem(path, fact, near(error["input"], choices))
    expected = _EXPECTED.get(error["type"], error["msg"].lower())
    return document.problem(path, f"{place} is {shown}; expected {expected}")


def _missing(document: Document, model: type[BaseModel], path: Path) -> MappingProblem:
    parent = path[:-1]
    present = _present(document.data, parent)
    unknown = [name for name in present if name not in _fields_at(model, parent)]
    where = f" in {_dotted(parent)}" if parent else ""
    fact = f"field {path[-1]!r} is missing{where}"
    written = near(path[-1], unknown)
    return document.problem(parent, f"{fact}; {written!r} stands there instead" if written else fact)


def _present(data: Any, path: Path) -> list[str]:
    for part in path:
        data = data[part]
    return list(data) if isinstance(data, dict) else []


def _choices(error: ErrorDetails) -> list[str]:
    """What a literal or an enumeration allows, read from pydantic's own list."""
    if error["type"] not in ("literal_error", "enum"):
        return []
    listed = str(error.get("ctx", {}).get("expected", ""))
    return [word.strip(" '") for word in listed.replace(" or ", ", ").split(",")]


def _fields_at(model: Any, path: Path) -> tuple[str, ...]:
    """Field names of the model that stands at `path`, or none."""
    for part in path:
        model = _inner(model, part)
    return tuple(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else ()


def _inner(annotation: Any, part: str | int) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        field = annotation.model_fields.get(str(part))
        return field.annotation if field else None
    if get_origin(annotation) is dict:
        return get_args(annotation)[1]
    if get_origin(annotation) is tuple:
        return get_args(annotation)[0]
    return None


def _dotted(path: Path) -> str:
    return ".".join(str(part) for part in path)


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "a map" if isinstance(value, dict) else "a list"
    text = "empty" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
