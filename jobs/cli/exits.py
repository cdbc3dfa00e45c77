"""Exit codes, and which error leads to which."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What the command's exit status tells a script."""

    OK = 0  # success; plan: with or without changes
    ERROR = 1  # stopped by an error, nothing half done that a re-run would not finish
    CHANGES = 2  # plan --detailed-exitcode: changes present, nothing needs a person
    NEEDS_DECISION = 3  # plan --detailed-exitcode: conflicts or approvals pending
    GUARD = 4  # stopped by a guard, nothing written
    PARTIAL = 5  # some rows failed or moved, the rest is applied
    REFUSED = 6  # the plan may not be applied: expired, tampered with, other rules or org
    NEEDS_PERSON = 7  # credentials, permission, mapping or held feed: a person must act; doctor says what
    LEASE_HELD = 8  # another run holds the connection
    USAGE = 64  # the command line is wrong
    INTERRUPTED = 130  # stopped by the user


class Stop(Exception):
    """End the command with a message and a code; raised by verbs, printed in one place."""

    def __init__(self, message: str, code: Exit = Exit.ERROR) -> None:
        super().__init__(message)
        self.code = code
