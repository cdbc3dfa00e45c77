"""The least a run could have cost in calls, per kind of CRM, to print beside what it did cost."""

from __future__ import annotations

from collections.abc import Sequence
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


def push_floor(kind: str, lanes: Sequence[str], *, owners: int = 0) -> int:
    """Calls for writing items that travelled these lanes, with the reads that make the writes safe.

    `owners` are the owner items among them: each account is asked for its team just before.
    """
    if kind == "salesforce":
        conditional = sum(lane == "conditional" for lane in lanes)
        return salesforce.push_floor(conditional=conditional, batch=len(lanes) - conditional, team_checks=owners)
    parents = sum(lane == "association" for lane in lanes)
    return hubspot.push_floor(len(lanes) - parents, parents_added=parents, parents_removed=parents)
