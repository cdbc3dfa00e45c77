"""Errors of outside systems. Callers need no other distinction than these four."""

from __future__ import annotations


class ConnectorError(Exception):
    """The outside system did not do what was asked.

    The message names subject, fact, limit or expectation, and remedy; it never holds a secret or a field value.
    """

    def __init__(self, message: str, *, system: str, code: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.system = system  # salesforce, hubspot, smtp
        self.code = code  # the system's own code, for logs
        self.retry_after_s = retry_after_s


class Retriable(ConnectorError):
    """It may work later: throttled, locked, unreachable, or a server error."""


class Fatal(ConnectorError):
    """It will not work until a person changes something: credentials, permission, configuration, daily limit."""


class Rejected(ConnectorError):
    """This one request or row was refused for what it says: validation, unknown field, inactive owner."""


class Stale(ConnectorError):
    """The record moved since it was read; nothing was written."""
