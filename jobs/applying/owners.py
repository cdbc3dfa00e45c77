"""Who is to become an owner is looked at once more before anything is written: people leave between plan and apply."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from connectors.protocol import KnowsUsers
from jobs.applying.model import ItemState, Work
from jobs.applying.session import ApplyRun


def without_departed(run: ApplyRun, work: Sequence[Work]) -> list[Work]:
    """The work without the owner changes to people who are not active any more; those are noted as blocked."""
    departed = {name: _departed(run, name, work) for name in sorted({one.connection for one in work})}
    blocked: dict[str, list[tuple[Work, ItemState, str]]] = defaultdict(list)
    for one in work:
        if one.want.get("owner") in departed[one.connection]:
            words = f"user {one.want['owner']} is not active any more; pull and plan again"
            blocked[one.connection].append((one, ItemState.BLOCKED, words))
    for name, noted in blocked.items():
        run.commit_unsent(name, noted)
    left = {one.item_id for noted in blocked.values() for one, _, _ in noted}
    return [one for one in work if one.item_id not in left]


def _departed(run: ApplyRun, connection: str, work: Sequence[Work]) -> frozenset[str]:
    """Owners to be, in our own words, who are not active."""
    connected = run.connected(connection)
    target, translation = connected.target, connected.translation
    if not isinstance(target, KnowsUsers):
        return frozenset()
    owners = sorted({owner for one in work if one.connection == connection and (owner := one.want.get("owner"))})
    if not owners:
        return frozenset()
    native = {owner: str(translation.to_native("owner", owner)) for owner in owners}
    gone = target.departed(list(native.values()))
    return frozenset(owner for owner, name in native.items() if name in gone)
