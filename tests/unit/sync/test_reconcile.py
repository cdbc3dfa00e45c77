"""The whole decision over small worlds: what each CRM record is wanted to say, and what it is left alone about."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobs.engines import PolarsEngine
from mappings.load import load
from sync.reconcile import reconcile
from sync.world import Reconciliation
from tests.fixtures.small_world import AS_OF, Row, account, company, firm, system, user, world

MAPPINGS = load()
USERS = [
    user("U1", "ann@x.example"),
    user("U2", "bob@x.example"),
    user("7", "ann@x.example", connection="hubspot"),
]
AGREED_UNDER = {
    "parent": "S",
    "parent__kind": "value",
    "health_system": "Prairie Health",
    "health_system__kind": "value",
}
UNDER = {"idn_id": "900", "idn_name": "Prairie Health", "idn_parent_id": "900", "idn_parent_name": "Prairie Health"}
HOSPITAL = firm("1", "Mercy Hospital", **UNDER, row=3)
ROOT = system("900", "Prairie Health", row=2)
S_ROOT = account("S", "Prairie Health", zip5=None, owner="U1")
S_MERCY = account("M", "Mercy Hospital", owner="U2")


def run(as_of: str = AS_OF, **tables: Any) -> Reconciliation:
    return reconcile(world(**{"users": USERS, **tables}), MAPPINGS, as_of, PolarsEngine())


def changes(made: Reconciliation) -> dict[tuple[str, str], Row]:
    rows = PolarsEngine().rows(made.plan.changes)
    return {(row["record_id"], row["field"]): row for row in rows}


def wanted(made: Reconciliation, record: str, field: str) -> Any:
    row = changes(made).get((record, field))
    return row and (row["desired_kind"], row["desired"])


def test_a_hospital_gets_its_systems_record_as_parent_with_rule_and_feed_row() -> None:
    row = changes(run(firms=[ROOT, HOSPITAL], records=[S_ROOT, S_MERCY]))[("M", "parent")]
    assert (row["desired"], row["rule_id"]) == ("S", "hierarchy.site_of")
    assert json.loads(row["evidence"]) == {
        "parent": "Prairie Health",
        "basis": "site_of",
        "from": "definitive:feed.csv:row 3",
        "note": "",
    }


def test_members_get_the_owner_of_the_system_in_each_crm_by_its_own_user_id() -> None:
    made = run(firms=[ROOT, HOSPITAL], records=[S_ROOT, S_MERCY, company("H", "Mercy Hospital")])
    assert wanted(made, "M", "owner") == ("value", "U1")
    assert wanted(made, "H", "owner") == ("value", "7")


def test_an_owner_without_a_user_in_a_crm_leaves_that_crm_alone() -> None:
    users = [user("U1", "ann@x.example")]
    made = run(firms=[ROOT, HOSPITAL], records=[S_ROOT, company("H", "Mercy Hospital")], users=users)
    assert wanted(made, "H", "owner") is None
    assert wanted(made, "H", "owner_role") is None


def test_the_parent_is_the_nearest_ancestor_that_has_a_record_in_that_crm() -> None:
    division = system("800", "Prairie West", idn_parent_id="900", idn_parent_name="Prairie Health")
    hospital = {**HOSPITAL, "idn_id": "800", "idn_name": "Prairie West"}
    made = run(firms=[ROOT, division, hospital], records=[S_ROOT, S_MERCY, company("H", "Mercy Hospital")])
    assert wanted(made, "M", "parent") == ("value", "S")
    assert wanted(made, "H", "parent") is None


def test_a_parent_with_two_records_is_not_guessed_but_the_one_in_place_stays() -> None:
    crosswalk = [
        {"source": source, "source_id": id_, "account_id": "accS", "how": "definitive_id"}
        for source, id_ in (("salesforce", "S"), ("salesforce", "S2"), ("definitive", "900"))
    ]
    twice = [S_ROOT, {**S_ROOT, "record_id": "S2"}]
    guess = run(firms=[ROOT, HOSPITAL], records=[*twice, S_MERCY], crosswalk=crosswalk)
    assert wanted(guess, "M", "parent") is None
    kept = run(firms=[ROOT, HOSPITAL], records=[*twice, {**S_MERCY, "parent": "S2"}], crosswalk=crosswalk)
    assert wanted(kept, "M", "parent") == ("value", "S2")
    assert wanted(kept, "S", "account_tier") == wanted(kept, "S2", "account_tier")


def test_an_unknown_system_empties_nothing() -> None:
    made = run(firms=[firm("1", "Mercy Hospital")], records=[S_ROOT, {**S_MERCY, "parent": "S"}])
    assert wanted(made, "M", "parent") is None
    assert wanted(made, "M", "health_system") is None


def test_a_system_that_goes_blank_is_reported_and_keeps_its_parent() -> None:
    made = run(
        firms=[ROOT, firm("1", "Mercy Hospital")],
        previous_firms=[ROOT, HOSPITAL],
        records=[S_ROOT, {**S_MERCY, "parent": "S"}],
    )
    assert [problem.code for problem in made.problems] == ["SYSTEM-BLANK"]
    assert wanted(made, "M", "parent") is None
    assert wanted(made, "M", "health_system") == ("value", "Prairie Health")
    assert wanted(made, "M", "rescore_flag") is None


@pytest.mark.parametrize("feed", ["definitive", "definitive_groups"])
def test_a_system_that_a_word_empties_is_left_and_a_person_agrees_before_the_parent_goes(feed: str) -> None:
    root = ROOT | {"feed": feed}
    out = firm("1", "Mercy Hospital", cleared="idn_id,idn_name,idn_parent_id,idn_parent_name", feed=feed, row=9)
    tables = {
        "previous_firms": [root, HOSPITAL | {"feed": feed}],
        "records": [S_ROOT, {**S_MERCY, "parent": "S", "health_system": "Prairie Health"}],
        "agreed": [{"connection": "salesforce", "record_id": "M", **AGREED_UNDER}],
    }
    made = run(firms=[root, out], **tables)
    assert wanted(made, "M", "parent") == wanted(made, "M", "health_system") == ("clear", None)
    row = changes(made)["M", "parent"]
    assert (row["action"], row["rule_id"]) == ("review", "hierarchy.released")
    assert json.loads(row["evidence"])["from"] == f"{feed}:feed.csv:row 9"
    assert "belongs to no system" in json.loads(row["evidence"])["note"]
    assert made.problems == ()
    assert wanted(made, "M", "rescore_reason") == ("value", f"Ownership change: Left Prairie Health (as of {AS_OF})")
    blank = run(firms=[root, out | {"cleared": None}], **tables)
    assert wanted(blank, "M", "parent") is None
    assert wanted(blank, "M", "rescore_reason") is None


def test_a_cycle_in_the_feed_is_named_and_no_member_gets_a_parent() -> None:
    one = system("800", "A", idn_parent_id="900", idn_parent_name="B")
    other = system("900", "B", idn_parent_id="800", idn_parent_name="A")
    rows = [account("SA", "A", zip5=None), account("SB", "B", zip5=None)]
    made = run(firms=[one, other], records=rows)
    [problem] = made.problems
    assert (problem.code, problem.subject) == ("PARENT-CYCLE", "A / B") or problem.subject == "B / A"
    assert wanted(made, "SA", "parent") is None
    assert wanted(made, "SB", "parent") is None


def test_a_move_to_another_system_raises_the_flag_and_an_event() -> None:
    other = system("700", "Lakes Health", row=9)
    before = {**HOSPITAL, "idn_id": "700", "idn_name": "Lakes Health"}
    before |= {"idn_parent_id": "700", "idn_parent_name": "Lakes Health"}
    made = run(
        firms=[ROOT, other, HOSPITAL],
        previous_firms=[ROOT, other, before],
        records=[S_ROOT, S_MERCY],
    )
    assert wanted(made, "M", "rescore_flag") == ("value", "true")
    reason = f"Ownership change: Moved from Lakes Health to Prairie Health (as of {AS_OF})"
    assert wanted(made, "M", "rescore_reason") == ("value", reason)
    events = {(e["record_id"], e["kind"]): e for e in PolarsEngine().rows(made.plan.events)}
    assert events[("M", "moved_system")]["old_system"] == "Lakes Health"
    assert wanted(made, "S", "rescore_flag") is None


def test_a_joined_and_a_left_system_are_told_apart() -> None:
    own = system("1", "Mercy Hospital", firm_type="Hospital", zip5="67601")
    joined = run(firms=[ROOT, HOSPITAL], previous_firms=[ROOT, firm("1", "Mercy Hospital")], records=[S_MERCY])
    assert wanted(joined, "M", "rescore_reason")[1].startswith("Ownership change: Joined Prairie Health")
    left = run(firms=[ROOT, own], previous_firms=[ROOT, HOSPITAL], records=[S_MERCY])
    assert wanted(left, "M", "rescore_reason")[1].startswith("Ownership change: Left Prairie Health")


def test_a_renamed_system_is_no_event() -> None:
    renamed = {**HOSPITAL, "idn_name": "New Name", "idn_parent_name": "New Name"}
    made = run(firms=[ROOT, renamed], previous_firms=[ROOT, HOSPITAL], records=[S_MERCY])
    assert wanted(made, "M", "rescore_flag") is None


def test_an_account_of_which_nothing_is_known_gets_no_tier() -> None:
    made = run(records=[company("H", "Who Knows")])
    assert wanted(made, "H", "account_tier") is None


def test_deleted_records_are_left_alone() -> None:
    made = run(firms=[ROOT, HOSPITAL], records=[S_ROOT, {**S_MERCY, "is_deleted": True}])
    assert not [key for key in changes(made) if key[0] == "M"]


def test_row_order_does_not_change_a_single_byte() -> None:
    firms = [ROOT, HOSPITAL, firm("5", "Alone", zip5="67605")]
    rows = [S_ROOT, S_MERCY, company("H", "Mercy Hospital"), account("X", "Alone", zip5="67605", owner="U2")]
    one, other = run(firms=firms, records=rows), run(firms=firms[::-1], records=rows[::-1], users=USERS[::-1])
    assert one.plan.digest == other.plan.digest


RICH = {"staffed_beds": 300, "ehr_vendor": "Epic", "it_capabilities": "FHIR", "oncology_share_bp": 4000}


def test_a_score_is_proposed_in_whole_points_where_enough_is_known_and_left_alone_elsewhere() -> None:
    tables = {"firms": [ROOT, firm("1", "Mercy Hospital", **UNDER, **RICH, row=3)], "records": [S_ROOT, S_MERCY]}
    assert wanted(run(**tables), "M", "score") is None  # the shipped policy asks for more than this
    scores = MAPPINGS.policies.scores
    easier = scores.model_copy(update={"missing": scores.missing.model_copy(update={"min_coverage_bp": 1000})})
    policies = MAPPINGS.policies.model_copy(update={"scores": easier})
    made = reconcile(
        world(users=USERS, **tables), MAPPINGS.model_copy(update={"policies": policies}), AS_OF, PolarsEngine()
    )
    profile = next(row for row in PolarsEngine().rows(made.profiles) if row["name"] == "Mercy Hospital")
    row = changes(made)["M", "score"]
    assert (row["state"], row["desired"]) == ("fill", str((profile["score_tenths"] + 5) // 10))
    assert row["rule_id"] == f"scores.{profile['band']}"
    told = json.loads(row["evidence"])
    assert (told["score"], told["band"]) == (f"{profile['score_tenths'] / 10:.1f}", profile["band"])
