"""The least a run could have cost in calls, per kind of CRM, to print beside what it did cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from connectors.hubspot import floors as hubspot
from connectors.salesforce import floors as salesforce

HISTORY_ROWS = 50
"""Records of one HubSpot history read."""


class Pulled(Protocol):
    """One object of a pull."""

    @property
    def object(self) -> str: ...

    @property
    def mode(self) -> str: ...

    @property
    def seen(self) -> int: ...

    @property
    def deleted(self) -> int: ...


def pull_floor(kind: str, objects: Sequence[Pulled]) -> int:
    """Calls for these rows at full pages: one description per object and the organisation included."""
    brought = {one.object: one for one in objects if one.mode != "absent"}
    if kind == "salesforce":
        return 1 + len(objects) + salesforce.pull_floor(one.seen for one in brought.values())
    accounts, deals = brought["account"], brought.get("opportunity")
    archived = min(accounts.deleted, accounts.seen)
    owners = brought["user"].seen if "user" in brought else 0
    if accounts.mode == "full":
        size = hubspot.PullSize(
            companies=accounts.seen - archived,
            archived_companies=archived,
            deals=deals.seen if deals else 0,
            owners=owners,
            described=2,
        )
        return hubspot.pull_floor(size)
    delta = hubspot.DeltaSize(changed_companies=accounts.seen, changed_deals=deals.seen if deals else 0, owners=owners)
    return 3 + hubspot.delta_floor(delta) - (-accounts.seen // HISTORY_ROWS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """One item that was on the wire."""

    record_id: str
    lane: str
    owner: tuple[str, str] | None = None  # from and to, where it changes
    had_parent: bool = False  # another parent leaves with it
    is_traced: bool = False  # read back with its history
    deals: int | None = None  # open opportunities pictured before an owner change; None = no picture was taken


def push_floor(kind: str, items: Iterable[Pushed], *, canary: Sequence[Pushed] = ()) -> int:
    """Calls for writing these items, with the reads that make the writes safe: records count, not items.

    Lanes are read, written and read back each for itself; owners to be are looked up once. `canary` are those of the
    items that were read back before any other was sent: conditional ones share the reading with the others, elsewhere
    they have their own.
    """
    listed, apart = list(items), [one for one in canary if one.lane != "conditional"]
    first = {(one.record_id, one.lane) for one in apart}
    others = [one for one in listed if (one.record_id, one.lane) not in first]
    if kind == "salesforce":
        owners = salesforce.owner_floor(len({one.owner[1] for one in listed if one.owner}))
        pushed = _salesforce_push(apart) + _salesforce_push(others, canary=_records(canary) - _records(apart))
        return owners + pushed
    return _hubspot_push(apart) + _hubspot_push(others)


def _hubspot_push(items: Sequence[Pushed]) -> int:
    parents = [one for one in items if one.lane == "association"]
    others = [one for one in items if one.lane != "association"]
    return hubspot.push_floor(
        _records(others),
        traced=_records(one for one in others if one.is_traced),
        parents_added=_records(parents),
        parents_removed=_records(one for one in parents if one.had_parent),
        parents_traced=_records(one for one in parents if one.is_traced),
    )


def _salesforce_push(items: Sequence[Pushed], *, canary: int = 0) -> int:
    conditional = [one for one in items if one.lane == "conditional"]
    checked = _records(one for one in conditional if one.owner)
    batch = [one for one in items if one.lane == "batch"]
    jobs = _records(one for one in items if one.lane == "bulk")
    pairs = Counter(one.owner for one in items if one.lane == "team")
    pictured = [one for one in conditional if one.deals is not None]
    return sum(
        (
            salesforce.push_floor(conditional=_records(conditional), team_checks=checked, canary=canary),
            salesforce.push_floor(team_checks=_records(pictured)),
            salesforce.push_floor(team_checks=_records(one for one in pictured if one.deals)),
            salesforce.push_floor(batch=_records(batch)),
            salesforce.bulk_floor(jobs) + 2 * -(-jobs // salesforce.RETRIEVE_ROWS),
            salesforce.team_floor(pairs.values()),
        )
    )


def _records(items: Iterable[Pushed]) -> int:
    return len({one.record_id for one in items})
