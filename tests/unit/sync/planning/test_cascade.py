"""What an owner change touches beside the account, and what an undo makes of what went along."""

from __future__ import annotations

from typing import Any

import pytest

from mappings.load import load
from mappings.policy import Cascade, ConflictPolicy
from sync.planning.cascade import Along, Fate, along, put_back, summed
from sync.planning.threeway import State

SHIPPED = load().policies.conflicts
KEY = ("salesforce", "001")
DEALS = {KEY: [("d1", "ana"), ("d2", "bea"), ("d3", "ana")]}


def policy(cascade: Cascade | None) -> ConflictPolicy:
    owner = SHIPPED.fields["owner"].model_copy(update={"cascade": cascade})
    return SHIPPED.model_copy(update={"fields": {**SHIPPED.fields, "owner": owner}})


def change(**differs: Any) -> dict[str, Any]:
    shown = {
        "connection": KEY[0],
        "record_id": KEY[1],
        "item_id": "i",
        "field": "owner",
        "crm": "ana",
        "desired": "dee",
    }
    return {**shown, **differs}


def one(cascade: Cascade | None = None, *, keeps_teams: bool = True, **differs: Any) -> Along:
    deals = {(differs.get("connection", KEY[0]), KEY[1]): DEALS[KEY]}
    found = along([change(**differs)], {KEY: ["u1", "u2"]}, deals, policy(cascade), keeps_teams=keeps_teams)
    return found["i"]


@pytest.mark.parametrize(
    ("cascade", "fate"),
    [
        (None, Fate.AS_SET),
        (Cascade(transfer_open_opportunities=True), Fate.GO_ALONG),
        (Cascade(transfer_open_opportunities=False), Fate.STAY),
    ],
)
def test_the_open_opportunities_of_the_old_owner_are_told_from_those_of_others(
    cascade: Cascade | None, fate: Fate
) -> None:
    found = one(cascade)
    assert (found.opportunities, found.others, found.opportunity_fate) == (("d1", "d3"), 1, fate)


def test_in_a_crm_that_takes_nothing_along_they_stay() -> None:
    assert one(connection="hubspot").opportunity_fate is Fate.STAY


@pytest.mark.parametrize(
    ("cascade", "keeps", "fate"),
    [
        (None, True, Fate.KEPT),
        (None, False, Fate.IN_THE_WAY),
        (Cascade(keep_account_team=False), False, Fate.LET_GO),
        (Cascade(keep_account_team=True), True, Fate.KEPT),
    ],
)
def test_the_team_is_kept_let_go_or_in_the_way(cascade: Cascade | None, keeps: bool, fate: Fate) -> None:
    found = one(cascade, keeps_teams=keeps)
    assert (found.team, found.team_fate) == (("u1", "u2"), fate)


@pytest.mark.parametrize("differs", [{"field": "parent"}, {"desired": "ana"}, {"desired": None}, {"item_id": None}])
def test_what_is_no_owner_change_touches_nothing(differs: dict[str, Any]) -> None:
    assert along([change(**differs)], {}, DEALS, policy(None), keeps_teams=True) == {}


def test_the_figures_of_a_plan_are_sums_by_fate() -> None:
    assert summed([one(), one(connection="hubspot")]) == {
        "teams": 1,
        "team_members": {"kept": 2},
        "opportunities": {"as the CRM is set": 2, "stay": 2},
        "opportunities_of_others": 2,
    }


@pytest.mark.parametrize(
    ("now", "state"),
    [("dee", State.UPDATE), ("ana", State.CONVERGED), ("bea", State.CONFLICT), (None, State.ORPHAN)],
)
def test_an_undo_moves_back_only_what_is_where_it_was_put(now: str | None, state: State) -> None:
    assert put_back("ana", "dee", now) is state
