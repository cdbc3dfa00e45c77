"""One request and one reply, as the handlers see them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import QueryParams

from sandbox.hubspot.errors import invalid
from sandbox.world import World, hubspot_time

WRITER = "integration"
"""Who writes through the API, as the history of the world names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that was let in."""

    world: World
    params: Mapping[str, str]  # of the path
    query: QueryParams
    body: Any  # parsed JSON or form; None when empty
    request: int  # number in the request log
    client: str  # User-Agent
    locked: frozenset[str] | None = None  # rows that a fault holds locked; empty = all, None = no fault

    @property
    def author(self) -> dict[str, Any]:
        """Keyword arguments that say who wrote."""
        return {"by": WRITER, "client": self.client, "request": self.request}

    def inputs(self, most: int) -> list[dict[str, Any]]:
        """The `inputs` of a batch. Refused when they are missing, malformed or more than `most`."""
        if "inputs" not in self.fields():
            raise invalid("Invalid input JSON: inputs is missing")
        inputs = objects(self.fields(), "inputs")
        if len(inputs) > most:
            raise invalid(f"The maximum number of inputs supported in a batch request is {most}, got {len(inputs)}")
        return inputs

    def fields(self) -> dict[str, Any]:
        """The body as an object. Refused when it is none."""
        if not isinstance(self.body, dict):
            raise invalid("Invalid input JSON: the body must be an object")
        return self.body

    def names(self, parameter: str) -> list[str]:
        """A parameter that lists names: repeated, with commas, or both."""
        given = (name.strip() for value in self.query.getlist(parameter) for name in value.split(","))
        return list(dict.fromkeys(name for name in given if name))

    def flag(self, parameter: str) -> bool:
        """A parameter that is true or false; Python's spelling is taken too."""
        text = self.query.get(parameter, "false").lower()
        if text not in ("true", "false"):
            raise invalid(f"{parameter} must be true or false, got {text!r}")
        return text == "true"

    def limit(self, default: int, most: int) -> int:
        """The page size asked for. Refused when it is no number between 1 and `most`."""
        text = self.query.get("limit", str(default))
        if not text.isdecimal() or not 1 <= int(text) <= most:
            raise invalid(f"limit must be between 1 and {most}, got {text!r}")
        return int(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What goes back."""

    body: Any = None  # None = no content
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


def text(fields: Mapping[str, Any], name: str) -> str | None:
    """A text in a body, None when it is not there. Refused when it is something else."""
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise invalid(f"Invalid input JSON: {name} must be a string")
    return value


def texts(fields: Mapping[str, Any], name: str) -> list[str]:
    """A list of texts in a body, empty when it is not there. Refused when it is something else."""
    value = fields.get(name) or []
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise invalid(f"Invalid input JSON: {name} must be a list of strings")
    return value


def objects(fields: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """A list of objects in a body, empty when it is not there. Refused when it is something else."""
    value = fields.get(name) or []
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise invalid(f"Invalid input JSON: {name} must be a list of objects")
    return value


def cursor(last_id: str) -> str:
    """An opaque cursor that goes on after a record."""
    return base64.urlsafe_b64encode(f"after:{last_id}".encode()).decode().rstrip("=")


def resume(text: str | None) -> int:
    """The id a cursor goes on after; -1 at the start. Refused when it is none of ours."""
    if text is None:
        return -1
    try:
        word, _, number = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().partition(":")
        if word == "after":
            return int(number)
    except (ValueError, binascii.Error):
        pass
    raise invalid(f"after {text!r} is not a cursor of this list")


def page(results: list[dict[str, Any]], more: bool, last_id: str, link: str) -> dict[str, Any]:
    """A page of results, with the way to the next one when there is more."""
    body: dict[str, Any] = {"results": results}
    if more:
        after = cursor(last_id)
        body["paging"] = {"next": {"after": after, "link": f"{link}?after={after}"}}
    return body


def batch(
    call: Call, results: list[Any], errors: list[dict[str, Any]], *, status: int = 200, partly: int = 207
) -> Reply:
    """The reply of a batch: `status`, or `partly` when some rows failed."""
    now = hubspot_time(call.world.now())
    body: dict[str, Any] = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
    if errors:
        body |= {"numErrors": len(errors), "errors": errors}
    return Reply(body=body, status=partly if errors else status)
