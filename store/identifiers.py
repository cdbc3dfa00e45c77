"""Ids made by the store: sortable by time, and never guessable from their content."""

from __future__ import annotations

import secrets
import time

import sqlalchemy as sa

from store.tables import counter

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: no letter that reads as a digit


def new_id(prefix: str) -> str:
    """`prefix-` and 15 characters: 45 bits of milliseconds, 30 random bits."""
    number = (time.time_ns() // 1_000_000) << 30 | secrets.randbits(30)
    return prefix + "-" + "".join(_DIGITS[number >> shift & 31] for shift in range(70, -1, -5))


def next_number(conn: sa.Connection, name: str, *, count: int = 1) -> int:
    """The first of `count` numbers that no other transaction has; locks the counter until this one ends."""
    grown = conn.execute(sa.update(counter).where(counter.c.name == name).values(value=counter.c.value + count))
    if not grown.rowcount:
        raise LookupError(f"counter {name}: it does not exist; migrations make it")
    value = conn.scalar(sa.select(counter.c.value).where(counter.c.name == name))
    return int(value or 0) - count + 1
