"""What a third delivery can show: systems within systems, blanks that stay, ids that go from one system to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from jobs.engines import PolarsEngine
from mappings.load import load
from sync.memory import remembered
from sync.reconcile import find_out
from sync.world import CROSSWALK, FIRMS
from tests.fixtures.small_world import AS_OF, Row, account, firm, system, world

ENGINE, MAPPINGS = PolarsEngine(), load()
BLANK: dict[str, None] = dict.fromkeys(("idn_id", "idn_name", "idn_parent_id", "idn_parent_name"))


def member(firm_id: str, idn: str, parent: str = "", **values: Any) -> Row:
    """A hospital of a system; systems are called by their ids."""
    above = parent or idn
    named = {"idn_id": idn, "idn_name": f"System {idn}", "idn_parent_id": above, "idn_parent_name": f"System {above}"}
    return firm(firm_id, f"Hospital {firm_id}", zip5=f"6760{firm_id[-1]}", **{**named, **values})


def top(system_id: str, **values: Any) -> Row:
    return system(system_id, f"System {system_id}", **values)


def division(system_id: str, parent: str, **values: Any) -> Row:
    return top(system_id, **{"idn_parent_id": parent, "idn_parent_name": f"System {parent}", **values})


@dataclass(frozen=True)
class Year:
    """What a plan on one delivery found, by vendor ids."""

    events: dict[str, tuple[str, str | None, str | None]]
    system: dict[str, str | None]  # firm -> account of its system
    account: dict[str, str]  # firm -> account
    blanks: set[str]
    crosswalk: list[Row]


def year(firms: list[Row], *before: list[Row], crosswalk: list[Row] | None = None, **tables: Any) -> Year:
    """A plan on a delivery, after those before, the newest first."""
    last = [ENGINE.table(rows, FIRMS) for rows in before]
    known = list(ENGINE.rows(remembered(last, ENGINE)))
    made = world(firms=firms, previous_firms=known, crosswalk=crosswalk or [], **tables)
    found, forest = find_out(made, MAPPINGS, AS_OF, ENGINE)
    links = list(ENGINE.rows(found.links))
    firm_of = {row["account_id"]: row["source_id"] for row in links if row["source"] == "definitive"}
    return Year(
        events={
            firm_of[row["account_id"]]: (row["kind"], row["old_system"], row["new_system"])
            for row in ENGINE.rows(found.events)
        },
        system={firm_of.get(r["account_id"], ""): r["system_account_id"] for r in ENGINE.rows(found.hierarchy)},
        account={firm_id: account_id for account_id, firm_id in firm_of.items()},
        blanks={row["firm_id"] for row in ENGINE.rows(forest.feed.blanks)},
        crosswalk=[{name: row[name] for name in CROSSWALK} for row in links],
    )


MOVED = ("moved_system", "System 8", "System 9")
HOLDING = [top("8"), top("9"), division("7", "8"), member("1", "7", "8")]


def test_where_only_the_parents_own_row_says_that_it_was_taken_over_all_below_it_move() -> None:
    now = [division("8", "9"), top("9"), division("7", "8"), member("1", "7", "8")]
    seen = year(now, HOLDING)
    assert seen.events == {"1": MOVED, "7": MOVED, "8": ("joined_system", None, "System 9")}
    assert seen.system["1"] == seen.account["9"]


def test_another_division_of_the_same_system_is_no_move() -> None:
    before = [*HOLDING, division("6", "8")]
    now = [*HOLDING[:3], division("6", "8"), member("1", "6", "8")]
    assert year(now, before).events == {}


@pytest.mark.parametrize(
    "blank",
    [{"idn_parent_id": None, "idn_parent_name": None}, {"idn_id": None, "idn_name": None}, BLANK],
    ids=["the parent's cell", "the system's cell", "both"],
)
def test_a_blank_cell_moves_nobody(blank: dict[str, None]) -> None:
    seen = year([*HOLDING[:3], member("1", "7", "8", **blank)], HOLDING)
    assert seen.events == {}
    assert seen.system["1"] == seen.account["8"]


def test_a_division_whose_parent_is_blank_in_every_row_stays_where_it_was_and_a_person_looks() -> None:
    nobody = {"idn_parent_id": None, "idn_parent_name": None}
    seen = year([top("8"), division("7", "8", **nobody), member("1", "7", **nobody)], HOLDING)
    assert seen.events == {}
    assert seen.system["1"] == seen.system["7"] == seen.account["8"]
    assert seen.blanks == {"7"}


def test_a_system_whose_own_row_is_no_longer_delivered_keeps_its_account() -> None:
    first = year(HOLDING, records=[account("A8", "System 8", definitive_id="8")])
    records = [account("A8", "System 8", definitive_id="8")]
    seen = year(HOLDING[1:], HOLDING, crosswalk=first.crosswalk, records=records)
    assert seen.system["1"] == first.account["8"]


BLANKED = [top("8"), top("9"), firm("1", "Hospital 1", zip5="67601")]
BELONGED = [top("8"), top("9"), member("1", "8")]


def test_a_system_that_is_blank_for_the_second_time_is_still_carried_on() -> None:
    seen = year(BLANKED, BLANKED, BELONGED)
    assert seen.events == {}
    assert seen.system["1"] == seen.account["8"]
    assert seen.blanks == {"1"}


def test_what_comes_back_after_a_blank_is_no_event_and_what_is_elsewhere_then_has_moved() -> None:
    assert year(BELONGED, BLANKED, BELONGED).events == {}
    assert year([top("8"), top("9"), member("1", "9")], BLANKED, BELONGED).events == {"1": MOVED}
    assert year(BELONGED, BLANKED).events == {"1": ("joined_system", None, "System 8")}


def test_a_firm_that_was_missing_from_one_delivery_is_compared_with_the_one_before() -> None:
    assert year([top("8"), top("9"), member("1", "9")], [top("8"), top("9")], BELONGED).events == {"1": MOVED}


def test_what_a_word_emptied_is_not_remembered() -> None:
    left = [top("8"), top("9"), firm("1", "Hospital 1", cleared="idn_id,idn_parent_id", zip5="67601")]
    seen = year(BLANKED, left, BELONGED)
    assert (seen.events, seen.blanks) == ({}, set())
    assert seen.system["1"] == seen.account["1"]


def test_a_typo_in_one_row_renames_no_system_in_an_event() -> None:
    before = [top("8"), top("9"), member("1", "8"), member("2", "9"), member("3", "9")]
    wrong = {"idn_name": "A Systm 9", "idn_parent_name": "A Systm 9"}
    now = [top("8"), top("9"), member("1", "9", **wrong), member("2", "9"), member("3", "9")]
    assert year(now, before).events == {"1": MOVED}


def named(idn: str, name: str) -> dict[str, str]:
    return {"idn_id": idn, "idn_name": name, "idn_parent_id": idn, "idn_parent_name": name}


LAKES, HILLS = "Lakes Health", "Hills Health"
RECORDS = [
    account("A8", LAKES, city="Ames", state="IA", zip5=None, definitive_id="8"),
    account("A9", HILLS, city="Reno", state="NV", zip5=None, definitive_id="9"),
]


def two_systems(lakes: str, hills: str) -> list[Row]:
    """Lakes with hospitals 1 and 2, Hills with 3 and 4, under the ids of the year."""
    return [
        system(lakes, LAKES, city="Ames", state="IA"),
        system(hills, HILLS, city="Reno", state="NV"),
        *(member(i, lakes, **named(lakes, LAKES)) for i in ("1", "2")),
        *(member(i, hills, **named(hills, HILLS)) for i in ("3", "4")),
    ]


def test_an_id_that_another_system_has_now_hands_over_neither_account_nor_members() -> None:
    first = year(two_systems("8", "9"), records=RECORDS)
    renumbered = two_systems("5", "8")  # Lakes is 5 now, Hills took over its 8
    second = year(renumbered, two_systems("8", "9"), crosswalk=first.crosswalk, records=RECORDS)
    assert second.events == {}
    assert second.account["5"] == first.account["8"]
    assert second.account["8"] == first.account["9"]
    assert {second.system["1"], second.system["2"]} == {first.account["8"]}
    assert {second.system["3"], second.system["4"]} == {first.account["9"]}
    old = [row for row in first.crosswalk if row["source_id"] == "9" and row["source"] == "definitive"]
    again = year(renumbered, two_systems("8", "9"), crosswalk=[*second.crosswalk, *old], records=RECORDS)
    assert (again.account, again.system, again.events) == (second.account, second.system, {})


def test_a_member_that_moves_while_its_system_is_renumbered_has_moved() -> None:
    first = year(two_systems("8", "9"), records=RECORDS)
    now = [row for row in two_systems("5", "8") if row["firm_id"] != "2"]
    now.append(member("2", "8", **named("8", HILLS)))
    seen = year(now, two_systems("8", "9"), crosswalk=first.crosswalk, records=RECORDS)
    assert seen.events == {"2": ("moved_system", LAKES, HILLS)}


def test_a_system_of_the_same_name_elsewhere_is_not_the_renumbered_one() -> None:
    before = [
        system("8", LAKES, city="Ames", state="IA"),
        member("1", "8", **named("8", LAKES)),
        top("9"),
        member("3", "9"),
    ]
    now = [system("5", LAKES, city="Bend", state="OR"), member("4", "5", **named("5", LAKES)), top("9"),
           member("1", "9"), member("3", "9")]  # fmt: skip
    assert year(now, before).events == {"1": ("moved_system", LAKES, "System 9")}


def test_a_merger_into_a_system_with_a_new_name_moves_the_members() -> None:
    before = [system("8", LAKES), member("1", "8", **named("8", LAKES)), top("9"), member("3", "9")]
    both = "Union Health"
    now = [system("9", both), member("1", "9", **named("9", both)), member("3", "9", **named("9", both))]
    seen = year(now, before)
    assert seen.events == {"1": ("moved_system", LAKES, both)}
