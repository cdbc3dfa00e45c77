"""Refusals of the sandbox Salesforce, in its own words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class ApiError(Exception):
    """One refusal. A whole request answers with `status` and an `errorCode`; a row of a bundle with a `statusCode`."""

    def __init__(self, code: str, message: str, *, status: int = 400, fields: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.fields = list(fields)

    def envelope(self) -> list[dict[str, Any]]:
        """The body of a refused request."""
        extra = {"fields": self.fields} if self.fields else {}
        return [{"message": self.message, "errorCode": self.code, **extra}]

    def row(self) -> dict[str, Any]:
        """The result of a refused row of a collection. It has no id: results are told apart by their order alone."""
        return {
            "success": False,
            "errors": [{"statusCode": self.code, "message": self.message, "fields": self.fields}],
        }


def not_found() -> ApiError:
    """No such record or resource."""
    return ApiError("NOT_FOUND", "The requested resource does not exist", status=404)


def deleted() -> ApiError:
    """The record lies in the recycle bin."""
    return ApiError("ENTITY_IS_DELETED", "entity is deleted", status=404)


def too_many(limit: int) -> ApiError:
    """More records than one call takes."""
    text = f"record limit reached. cannot submit more than {limit} records into this call"
    return ApiError("EXCEEDED_ID_LIMIT", text)


def malformed(text: str) -> ApiError:
    """A body that cannot be read."""
    return ApiError("JSON_PARSER_ERROR", text)


def malformed_id(label: str, value: object, field: str) -> ApiError:
    """Text that is no id where an id belongs, or an id of another kind of record."""
    return ApiError("MALFORMED_ID", f"{label}: id value of incorrect type: {value}", fields=[field])


def unknown_column(field: str, object_name: str) -> ApiError:
    """A column that a write or a row read names and the object lacks."""
    return ApiError("INVALID_FIELD", f"No such column '{field}' on sobject of type {object_name}")
