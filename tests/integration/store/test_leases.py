"""One writer at a time, and a fence against the one that was paused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from store.database import Database, StoreError
from store.leases import Lease, LeaseHeld, LeaseLost, Leases, require_epoch


class Clock:
    """Seconds that move when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_held_lease_names_its_holder(database: Database) -> None:
    leases = Leases(database)
    leases.acquire("salesforce", op="apply P-1", who="maria")
    with pytest.raises(LeaseHeld, match=r"maria@.*apply P-1 since 2") as caught:
        leases.acquire("salesforce", op="pull")
    assert caught.value.op == "apply P-1"


def test_other_connections_are_free(database: Database) -> None:
    leases = Leases(database)
    leases.acquire("salesforce", op="apply")
    assert leases.acquire("hubspot", op="apply").epoch == 1


def test_an_epoch_is_never_used_again(database: Database) -> None:
    leases = Leases(database)
    epochs = []
    for _ in range(4):
        lease = leases.acquire("salesforce", op="apply")
        epochs.append(lease.epoch)
        leases.release(lease)
    assert epochs == [1, 2, 3, 4]


def test_after_a_takeover_the_old_holder_can_neither_write_nor_renew_nor_release(database: Database) -> None:
    clock = Clock()
    leases = Leases(database, ttl_s=10, clock=clock)
    old = leases.acquire("salesforce", op="apply")
    clock.now += 10.1
    new = leases.acquire("salesforce", op="apply")
    with pytest.raises(LeaseLost, match="took over"), database.state() as conn:
        require_epoch(conn, old)
    with pytest.raises(LeaseLost):
        leases.renew(old)
    leases.release(old)
    leases.renew(new)


def test_a_renewed_lease_does_not_expire(database: Database) -> None:
    clock = Clock()
    leases = Leases(database, ttl_s=10, clock=clock)
    lease = leases.acquire("salesforce", op="apply")
    for _ in range(5):
        clock.now += 9
        leases.renew(lease)
    with pytest.raises(LeaseHeld):
        leases.acquire("salesforce", op="apply")


def test_a_lease_of_an_earlier_boot_is_free(database: Database) -> None:
    clock = Clock()
    Leases(database, clock=clock, boot_id="before").acquire("salesforce", op="apply")
    assert Leases(database, clock=clock, boot_id="after").acquire("salesforce", op="apply").epoch == 2


def test_the_default_clock_frees_a_lease_whose_time_is_over(database: Database) -> None:
    Leases(database, ttl_s=-1).acquire("salesforce", op="apply")
    assert Leases(database).acquire("salesforce", op="apply").epoch == 2


def test_of_many_at_once_one_gets_the_lease(connect: Callable[[], Database]) -> None:
    got: list[Lease] = []
    start = threading.Barrier(6)

    def run(database: Database) -> None:
        leases = Leases(database)
        start.wait()
        try:
            got.append(leases.acquire("salesforce", op="apply"))
        except LeaseHeld:
            return

    threads = [threading.Thread(target=run, args=(connect(),)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1


def test_keeping_renews_in_the_background_and_gives_back(database: Database) -> None:
    leases = Leases(database, ttl_s=0.15)
    lease = leases.acquire("salesforce", op="apply")
    renewed = threading.Event()
    renew, count = leases.renew, iter(range(100))

    def counted(one: Lease) -> None:
        renew(one)
        if next(count) == 2:
            renewed.set()

    leases.renew = counted  # type: ignore[method-assign]  # listens only
    with leases.keeping(lease):
        assert renewed.wait(5)
    assert leases.acquire("salesforce", op="apply").epoch == 2


@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_process_that_sleeps_in_a_transaction_does_not_keep_the_lease(
    database: Database, connect: Callable[[], Database]
) -> None:
    """As one does that is stopped while it renews: the server ends its session, and the next one gets the lease.

    SQLite has no server: there a stopped process keeps the lock until it is killed or goes on.
    """
    url = database.url.render_as_string(hide_password=False)
    sleeper, other = Database(url, busy_timeout_s=0.5), Database(url, busy_timeout_s=0.2)
    lease = Leases(sleeper, ttl_s=-1).acquire("salesforce", op="apply")
    taken: list[Lease] = []

    def sleep_in_a_transaction() -> None:
        with sleeper.state() as conn:
            require_epoch(conn, lease)
            for _ in range(50):
                with suppress(StoreError):
                    taken.append(Leases(other).acquire("salesforce", op="apply"))
                    return

    with pytest.raises(StoreError):
        sleep_in_a_transaction()
    assert [one.epoch for one in taken] == [2]
    for one in (sleeper, other):
        one.close()
