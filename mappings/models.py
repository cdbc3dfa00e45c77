"""A document against its pydantic model: the model's value, or every disagreement with its line and a near miss."""

from __future__ import annotations

from types import NoneType
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


def validate(document: Document, model: type[M], at: Path = ()) -> tuple[M | None, list[MappingProblem]]:
    """The document, or the part of it at a path, as `model`; or None and every problem."""
    data = document.data
    for part in at:
        data = data[part]
    try:
        return model.model_validate(data), []
    except ValidationError as exc:
        errors = exc.errors(include_url=False, include_context=True)
        return None, [_problem(document, model, at, error) for error in errors]


def _problem(document: Document, model: type[BaseModel], at: Path, error: ErrorDetails) -> MappingProblem:
    inner = tuple(part for part in error["loc"] if part != "[key]")
    path = (*at, *inner)
    if error["type"] == "extra_forbidden":
        known = _fields_at(model, inner[:-1])
        fact = f"unknown field {path[-1]!r}; known are {', '.join(sorted(known))}"
        return document.problem(path, fact, near(path[-1], list(known)))
    if error["type"] == "missing":
        return _missing(document, path, _fields_at(model, inner[:-1]))
    place = _dotted(path) or "the file"
    shown = _shown(error["input"])
    choices = _choices(error)
    if choices:
        fact = f"{place} is {shown}; expected one of {', '.join(choices)}"
        return document.problem(path, fact, near(error["input"], choices))
    expected = _EXPECTED.get(error["type"], error["msg"].lower())
    return document.problem(path, f"{place} is {shown}; expected {expected}")


def _missing(document: Document, path: Path, known: tuple[str, ...]) -> MappingProblem:
    parent = path[:-1]
    unknown = [name for name in _present(document.data, parent) if name not in known]
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
        model = _present_type(_inner(model, part))
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return ()
    return tuple(field.alias or name for name, field in model.model_fields.items())


def _inner(annotation: Any, part: str | int) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = {field.alias or name: field for name, field in annotation.model_fields.items()}
        return fields[str(part)].annotation if str(part) in fields else None
    if get_origin(annotation) is dict:
        return get_args(annotation)[1]
    if get_origin(annotation) is tuple:
        return get_args(annotation)[0]
    return None


def _present_type(annotation: Any) -> Any:
    """`X` of `X | None`."""
    given = [arg for arg in get_args(annotation) if arg is not NoneType]
    return given[0] if len(given) == 1 and NoneType in get_args(annotation) else annotation


def _dotted(path: Path) -> str:
    return ".".join(str(part) for part in path)


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "a map" if isinstance(value, dict) else "a list"
    text = "empty" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
