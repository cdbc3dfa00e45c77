"""Leases: one writer at a time per connection, with a fencing epoch that every state transaction checks.

Time is the monotonic clock and the boot id on SQLite (one host by construction), the database's clock on PostgreSQL.
"""

from __future__ import annotations

import getpass
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from store.database import Database, StoreError, insert_missing
from store.tables import lease as leases

TTL_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to write, as long as nobody holds a later epoch."""

    name: str
    epoch: int
    holder: str


class LeaseHeld(Exception):
    """Another run has the lease. Says who, on which host, what for, and since when."""

    def __init__(self, *, name: str, who: str, host: str, pid: int, op: str, since: str) -> None:
        super().__init__(
            f"{name}: held by {who}@{host} (process {pid}) for {op} since {since}. "
            "Wait until that run ends; a lease whose process died is free again within half a minute."
        )
        self.name, self.who, self.host, self.pid, self.op, self.since = name, who, host, pid, op, since


class LeaseLost(Exception):
    """Another run took the lease over; whatever this one still meant to write must not be written."""

    def __init__(self, lease: Lease, epoch: int | None) -> None:
        super().__init__(
            f"{lease.name}: epoch {lease.epoch} is over (now {epoch}); another run took over. "
            "Nothing more is written by this one; run the command again to go on where it stopped."
        )
        self.lease = lease


class Leases:
    """Acquire, renew, release."""

    def __init__(
        self,
        database: Database,
        *,
        ttl_s: float = TTL_S,
        clock: Callable[[], float] | None = None,
        boot_id: str | None = None,
    ) -> None:
        self._database = database
        self.ttl_s = ttl_s
        self._clock = clock
        self._boot_id = boot_id if boot_id is not None else (_boot_id() if database.is_sqlite else "")

    def acquire(self, name: str, *, op: str, who: str = "") -> Lease:
        """Take the lease with the next epoch. Raises LeaseHeld while another holder's has not expired."""
        holder = secrets.token_hex(8)
        with self._database.state() as conn:
            insert_missing(conn, leases, [_free(name)])
            row = conn.execute(sa.select(leases).where(leases.c.name == name).with_for_update()).mappings().one()
            now = self._now(conn)
            if row["holder"] and row["boot_id"] == self._boot_id and row["expires"] > now:
                raise LeaseHeld(**{key: row[key] for key in ("name", "who", "host", "pid", "op", "since")})
            taken = {
                "epoch": row["epoch"] + 1,
                "holder": holder,
                "who": who or _os_user(),
                "host": platform.node() or "unknown-host",
                "pid": os.getpid(),
                "op": op,
                "since": self._database.now(),
                "boot_id": self._boot_id,
                "expires": now + self.ttl_s,
            }
            conn.execute(sa.update(leases).where(leases.c.name == name).values(**taken))
        return Lease(name=name, epoch=row["epoch"] + 1, holder=holder)

    def renew(self, lease: Lease) -> None:
        """Check the epoch and put the expiry off, in one transaction. Raises LeaseLost."""
        with self._database.state() as conn:
            require_epoch(conn, lease)
            conn.execute(
                sa.update(leases).where(leases.c.name == lease.name).values(expires=self._now(conn) + self.ttl_s)
            )

    def release(self, lease: Lease) -> None:
        """Give the lease back; nothing happens where another run has it."""
        ours = (leases.c.name == lease.name) & (leases.c.epoch == lease.epoch) & (leases.c.holder == lease.holder)
        with self._database.state() as conn:
            conn.execute(sa.update(leases).where(ours).values(holder=""))

    @contextmanager
    def keeping(self, lease: Lease, *, on_lost: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Renew in the background while the block runs, then release.

        A lost lease ends the renewing and calls `on_lost` in the keeper's thread; nothing is raised in the block, which
        learns of it from `require_epoch` or `renew`.
        """
        done = threading.Event()
        name, arguments = f"lease {lease.name}", (lease, done, on_lost)
        keeper = threading.Thread(target=self._keep, args=arguments, name=name, daemon=True)
        keeper.start()
        try:
            yield
        finally:
            done.set()
            keeper.join()
            self._release_quietly(lease)

    def _keep(self, lease: Lease, done: threading.Event, on_lost: Callable[[], None]) -> None:
        while not done.wait(self.ttl_s / 3):
            try:
                self.renew(lease)
            except LeaseLost:
                on_lost()
                return
            except StoreError:
                continue  # the main thread meets the same fault and reports it

    def _release_quietly(self, lease: Lease) -> None:
        try:
            self.release(lease)
        except StoreError:
            return  # unreachable database: the lease expires by itself, and the first error must stay visible

    def _now(self, conn: sa.Connection) -> float:
        if self._clock is not None:
            return self._clock()
        if self._database.is_sqlite:
            return time.monotonic()
        return float(conn.scalar(sa.select(sa.extract("epoch", sa.func.clock_timestamp()))) or 0.0)


def require_epoch(conn: sa.Connection, lease: Lease) -> None:
    """Raise LeaseLost unless the lease is still ours; on PostgreSQL it stays ours until the transaction ends."""
    query = sa.select(leases.c.epoch, leases.c.holder).where(leases.c.name == lease.name).with_for_update()
    row = conn.execute(query).one_or_none()
    if row is None or (row.epoch, row.holder) != (lease.epoch, lease.holder):
        raise LeaseLost(lease, row.epoch if row else None)


def _free(name: str) -> dict[str, object]:
    texts = dict.fromkeys(("holder", "who", "host", "op", "since", "boot_id"), "")
    return {"name": name, "epoch": 0, "pid": 0, "expires": 0.0, **texts}


def _os_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return str(os.getuid())


def _boot_id() -> str:
    """What tells two boots of this machine apart; the monotonic clock starts again with each."""
    path = Path("/proc/sys/kernel/random/boot_id")
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return platform.node()
