"""What holds for the one request that is being answered: how old its reads are, and after how many writes it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


class Cut(Exception):  # what happens, not what is wrong
    """The connection is to be closed now; what is written stays written."""


@dataclass(slots=True, kw_only=True)
class Moment:
    """The conditions of one request."""

    lag_s: float = 0.0  # reads look so far back
    writes_left: int | None = None  # None = no end


_moment: ContextVar[Moment | None] = ContextVar("moment", default=None)


@contextmanager
def holding(moment: Moment) -> Iterator[None]:
    """Let the conditions hold for whatever is done inside, threads of the request included."""
    token = _moment.set(moment)
    try:
        yield
    finally:
        _moment.reset(token)


def lag_s() -> float:
    """How far reads look back now."""
    moment = _moment.get()
    return 0.0 if moment is None else moment.lag_s


def count_write(source: str) -> None:
    """Count one row written over the API. Cut when the request has written all it may."""
    moment = _moment.get()
    if moment is None or moment.writes_left is None or source != "API":
        return
    if moment.writes_left <= 0:
        raise Cut
    moment.writes_left -= 1
