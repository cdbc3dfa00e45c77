"""What an owner change touches beside the account: its team and the open opportunities of the owner who goes.

And what an undo finds of it: every opportunity that went along is compared like any other value, with where it was put
as the last agreed owner, where it is now, and where it was before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mappings.policy import ConflictPolicy
from sync.planning.threeway import State

Key = tuple[str, str]
"""Connection and record id."""

MOVING_CRM = "salesforce"
"""The CRM in which an owner change can take other records along."""


class Fate(StrEnum):
    """What becomes of the rows."""

    KEPT = "kept"  # by the lane that keeps teams
    LET_GO = "let go"  # pictured before, put back by an undo
    IN_THE_WAY = "in the way"  # the owner change is blocked
    GO_ALONG = "go along"
    STAY = "stay"
    AS_SET = "as the CRM is set"  # the policy says nothing; what moves is pictured, and put back by an undo


@dataclass(frozen=True, slots=True, kw_only=True)
class Along:
    """What one owner change touches."""

    item_id: str
    team: tuple[str, ...]  # users
    team_fate: Fate
    opportunities: tuple[str, ...]  # open, of the owner who goes
    opportunity_fate: Fate
    others: int  # open opportunities of somebody else: they stay

    def as_dict(self) -> dict[str, Any]:
        """As `--json` gives it."""
        opportunities = {"count": len(self.opportunities), "fate": self.opportunity_fate, "ids": self.opportunities}
        return {
            "team": {"count": len(self.team), "fate": self.team_fate, "users": list(self.team)},
            "opportunities": {**opportunities, "ids": list(self.opportunities), "of_others": self.others},
        }


def along(
    changes: Iterable[Mapping[str, Any]],
    teams: Mapping[Key, Sequence[str]],
    deals: Mapping[Key, Sequence[tuple[str, str]]],
    policy: ConflictPolicy,
    *,
    keeps_teams: bool,
) -> dict[str, Along]:
    """By item, what its owner change touches. `deals` are open opportunities with their owners."""
    found = {}
    for change in changes:
        if change["field"] != "owner" or not change["item_id"] or change["desired"] in (None, change["crm"]):
            continue
        key = change["connection"], change["record_id"]
        own = tuple(deal for deal, owner in deals.get(key, ()) if owner == change["crm"])
        found[change["item_id"]] = Along(
            item_id=change["item_id"],
            team=tuple(teams.get(key, ())),
            team_fate=_team_fate(policy, keeps_teams=keeps_teams),
            opportunities=own,
            opportunity_fate=_deal_fate(policy, key[0]),
            others=len(deals.get(key, ())) - len(own),
        )
    return found


def summed(listed: Iterable[Along]) -> dict[str, Any]:
    """The figures of a whole plan, by fate."""
    members: dict[str, int] = {}
    deals: dict[str, int] = {}
    others = teams = 0
    for one in listed:
        members[one.team_fate] = members.get(one.team_fate, 0) + len(one.team)
        deals[one.opportunity_fate] = deals.get(one.opportunity_fate, 0) + len(one.opportunities)
        others, teams = others + one.others, teams + bool(one.team)
    return {
        "teams": teams,
        "team_members": {fate: count for fate, count in sorted(members.items()) if count},
        "opportunities": {fate: count for fate, count in sorted(deals.items()) if count},
        "opportunities_of_others": others,
    }


def put_back(before: str, there: str, now: str | None) -> State:
    """The state of an opportunity that went along: where it was, where it was put, and where it is; None = closed."""
    if now is None:
        return State.ORPHAN
    if now == before:
        return State.CONVERGED
    return State.UPDATE if now == there else State.CONFLICT


def _team_fate(policy: ConflictPolicy, *, keeps_teams: bool) -> Fate:
    owner = policy.fields.get("owner")
    if owner is not None and owner.cascade is not None and not owner.cascade.keep_account_team:
        return Fate.LET_GO
    return Fate.KEPT if keeps_teams else Fate.IN_THE_WAY


def _deal_fate(policy: ConflictPolicy, connection: str) -> Fate:
    owner = policy.fields.get("owner")
    cascade = owner.cascade if owner is not None else None
    if connection != MOVING_CRM or (cascade is not None and not cascade.transfer_open_opportunities):
        return Fate.STAY
    return Fate.AS_SET if cascade is None else Fate.GO_ALONG
