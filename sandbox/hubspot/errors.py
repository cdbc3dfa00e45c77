"""HubSpot's error replies: the envelope of a refused request, and the grouped errors of single rows of a batch."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Detail = dict[str, Any]


class Refused(Exception):
    """The whole request is refused."""

    def __init__(
        self,
        status: int,
        category: str,
        message: str,
        *,
        errors: Iterable[Detail] = (),
        context: Mapping[str, list[str]] | None = None,
        sub_category: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.category = category
        self.message = message
        self.errors = list(errors)
        self.context = dict(context or {})
        self.sub_category = sub_category

    def body(self) -> dict[str, Any]:
        """The envelope."""
        body: dict[str, Any] = {
            "status": "error",
            "message": self.message,
            "correlationId": str(uuid.uuid4()),
            "category": self.category,
        }
        optional = {"subCategory": self.sub_category, "errors": self.errors, "context": self.context}
        return body | {name: value for name, value in optional.items() if value}


def invalid(message: str, *, errors: Iterable[Detail] = (), context: Mapping[str, list[str]] | None = None) -> Refused:
    """A request that breaks a rule of the API."""
    return Refused(400, "VALIDATION_ERROR", message, errors=errors, context=context)


def not_found(message: str = "resource not found") -> Refused:
    """A record or route that does not exist."""
    return Refused(404, "OBJECT_NOT_FOUND", message)


def detail(code: str, message: str, **context: str) -> Detail:
    """One entry of `errors[]`."""
    return {"code": code, "message": message, "context": {name: [value] for name, value in context.items()}}


@dataclass(slots=True)
class RowErrors:
    """Errors of single rows of a batch. Rows that fail alike share one entry, as HubSpot groups them."""

    _entries: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)

    def add(self, refused: Refused, **context: str) -> None:
        """Note that a row was refused; `context` says which (ids, objectWriteTraceId)."""
        key = (refused.category, refused.message, ",".join(sorted(context)))
        entry = self._entries.setdefault(key, self._entry(refused))
        for name, value in context.items():
            entry["context"].setdefault(name, []).append(value)

    def listed(self) -> list[dict[str, Any]]:
        """The entries, in the order in which they came up."""
        return list(self._entries.values())

    @staticmethod
    def _entry(refused: Refused) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "status": "error",
            "category": refused.category,
            "message": refused.message,
            "errors": refused.errors,
            "context": {name: list(values) for name, values in refused.context.items()},
            "links": {},
        }
        return entry | ({"subCategory": refused.sub_category} if refused.sub_category else {})
