"""Owner changes that keep the account team, against the sandbox: nothing is lost unseen, and all can come back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from connectors.errors import Fatal
from connectors.protocol import Lane, TeamMember, TeamTarget, Verdict, Write
from connectors.salesforce.session import Session
from connectors.salesforce.target import SalesforceTarget
from connectors.salesforce.teams import TeamLane, TeamResult, TeamWay
from sandbox.faults import Fault, Verb
from sandbox.server import Sandbox

STAMP = "run-1/7"


@pytest.fixture
def lane(salesforce_session: Session) -> TeamLane:
    return TeamLane(salesforce_session)


@pytest.fixture
def target(salesforce_session: Session) -> SalesforceTarget:
    return SalesforceTarget(salesforce_session)


def _change(record_id: str, old: str, new: str, version: str = "", **more: Any) -> Write:
    fields = {"OwnerId": new, **more}
    return Write(key=f"k{record_id}", record_id=record_id, fields=fields, version=version, previous={"OwnerId": old})


def _send(lane: TeamLane, writes: Sequence[Write], image: Any = None) -> tuple[TeamResult, ...]:
    teams = lane.team([write.record_id for write in writes]) if image is None else image
    return lane.change_owners(writes, image=teams, stamp=STAMP, before_send=lambda: None)


def _restore(lane: TeamLane, members: Sequence[TeamMember]) -> list[tuple[Verdict, str]]:
    results = lane.restore_team(members, stamp=STAMP, before_send=lambda: None)
    return [(result.verdict, result.code) for result in results]


def _users(sandbox: Sandbox, account: str) -> set[str]:
    members = sandbox.world.table("salesforce", "AccountTeamMember").values()
    return {m["UserId"] for m in members if m["AccountId"] == account and not m["IsDeleted"]}


def _with_team(sandbox: Sandbox, accounts: Sequence[str], users: Sequence[str]) -> None:
    rows = [{"AccountId": one, "UserId": user, "TeamMemberRole": "Sales Rep"} for one in accounts for user in users]
    levels = {"AccountAccessLevel": "Edit", "OpportunityAccessLevel": "Read", "CaseAccessLevel": "None"}
    levels["ContactAccessLevel"] = "None"
    sandbox.world.load("salesforce", "AccountTeamMember", [{**row, **levels} for row in rows])


def _current_owner(sandbox: Sandbox, account: str) -> str:
    return str(sandbox.world.table("salesforce", "Account")[account]["OwnerId"])


# images


def test_an_image_of_a_team_has_everything_to_rebuild_it(lane, sandbox, accounts, people):
    _with_team(sandbox, [accounts.clinic], [people.bea])
    (member,) = lane.team([accounts.clinic[:15], accounts.lakeside])[accounts.clinic[:15]]
    assert (member.record_id, member.user_id) == (accounts.clinic, people.bea)
    assert member.fields == {
        "TeamMemberRole": "Sales Rep",
        "AccountAccessLevel": "Edit",
        "OpportunityAccessLevel": "Read",
        "CaseAccessLevel": "None",
        "ContactAccessLevel": "None",
    }


def test_open_opportunities_are_listed_with_their_owners(lane, accounts, people):
    (deal,) = lane.open_opportunities([accounts.mercy, accounts.clinic])[accounts.mercy]
    assert (deal.child_id, deal.owner_id, deal.native_object) == ("006000000000oPnAAI", people.ana, "Opportunity")


def test_an_image_is_whole_over_many_pages(lane, sandbox, many_accounts, people):
    ids = many_accounts(450)
    _with_team(sandbox, ids, [people.ana, people.bea])
    sandbox.world.settings.salesforce_page_size = 200
    assert sum(len(team) for team in lane.team(ids).values()) == 900


def test_the_target_offers_what_teams_need(target):
    assert isinstance(target, TeamTarget)


# changing owners by SOAP


def test_an_owner_changes_and_the_team_stays_the_same_rows(lane, sandbox, accounts, people):
    before = lane.team([accounts.mercy])
    (done,) = _send(lane, [_change(accounts.mercy, people.ana, people.rule, Territory__c="West", CCN__c=None)])
    assert (done.result.verdict, done.result.code, done.owner) == (Verdict.OK, "", people.rule)
    assert (done.lost, lane.team([accounts.mercy])) == ((), before)
    mercy = sandbox.world.table("salesforce", "Account")[accounts.mercy]
    assert (mercy["Territory__c"], mercy["CCN__c"]) == ("West", None)
    assert {change.client for change in sandbox.world.history} == {f"platbook/{STAMP}"}


def test_the_lane_of_the_target_reads_the_team_itself(target, sandbox, accounts, people):
    write = _change(accounts.mercy, people.ana, people.bea)
    (result,) = target.write([write], lane=Lane.TEAM, stamp=STAMP, before_send=lambda: None)
    assert (result.verdict, result.key) == (Verdict.OK, write.key)
    assert len(_users(sandbox, accounts.mercy)) == 2


def test_members_that_go_all_the_same_are_seen_and_put_back(lane, sandbox, many_accounts, people):
    ids = many_accounts(40)
    _with_team(sandbox, ids, [people.ana, people.carl, people.rule])
    sandbox.world.settings.team_drop_probability = 0.3
    before = lane.team(ids)
    results = _send(lane, [_change(one, people.bea, people.ana) for one in ids])
    lost = [member for one in results for member in one.lost]
    assert 20 < len(lost) < 60  # 36 of 120 expected
    assert {one.result.code for one in results} == {"", "TEAM_RESTORED"}
    after = lane.team(ids)
    assert {key: [(m.user_id, m.fields) for m in team] for key, team in after.items()} == {
        key: [(m.user_id, m.fields) for m in team] for key, team in before.items()
    }


def test_one_request_carries_one_pair_of_owners_and_at_most_200_rows(lane, sandbox, many_accounts, people, accounts):
    ids = many_accounts(250)
    _with_team(sandbox, [*ids, accounts.mercy], [people.rule])
    writes = [_change(one, people.bea, people.ana) for one in ids]
    writes.insert(3, _change(accounts.mercy, people.ana, people.rule))
    results = _send(lane, writes)
    assert {one.result.verdict for one in results} == {Verdict.OK}
    assert [one.result.record_id for one in results] == [write.record_id for write in writes]
    soap = [request.body.count("<sObjects>") for request in sandbox.world.requests if "/Soap/" in request.path]
    assert soap == [200, 50, 1]
    assert all(_users(sandbox, one) >= {people.rule} for one in (*ids, accounts.mercy))


def test_200_changes_cost_four_calls(lane, sandbox, many_accounts, people):
    ids = many_accounts(200)
    _with_team(sandbox, ids, [people.rule])
    _send(lane, [_change(one, people.bea, people.ana) for one in ids])
    meter = lane.session.meter
    assert (meter.reads, meter.writes) == (3, 1)  # image, owners, team; SOAP


def test_rows_are_told_apart(lane, accounts, people):
    good, bad = _send(
        lane, [_change(accounts.clinic, people.ana, people.bea), _change(accounts.lakeside, people.bea, people.carl)]
    )
    assert good.result.verdict is Verdict.OK
    assert (bad.result.verdict, bad.result.code, bad.owner) == (Verdict.REJECTED, "INACTIVE_OWNER_OR_USER", None)


def test_a_dead_session_is_renewed_and_the_write_sent_with_the_new_token(lane, sandbox, accounts, people):
    image = lane.team([accounts.mercy])
    sandbox.world.faults.add(Fault(verb=Verb.EXPIRE_TOKEN, route="/Soap/"))
    (done,) = _send(lane, [_change(accounts.mercy, people.ana, people.rule)], image)
    assert done.result.verdict is Verdict.OK
    assert lane.session.meter.logins == 2


def test_a_lost_answer_is_unknown_sent_once_and_its_team_is_completed(lane, sandbox, accounts, people):
    sandbox.world.settings.team_drop_probability = 1.0
    sandbox.world.faults.add(Fault(verb=Verb.COMMIT_THEN_RESET, route="/Soap/"))
    (done,) = _send(lane, [_change(accounts.mercy, people.ana, people.rule)])
    assert (done.result.verdict, done.owner) == (Verdict.UNKNOWN, people.rule)
    assert (len(done.lost), len(done.restored)) == (2, 2)
    assert len([one for one in sandbox.world.requests if "/Soap/" in one.path]) == 1


def test_a_person_who_takes_the_account_at_the_last_moment_is_seen(lane, sandbox, accounts, people):
    """SOAP knows no precondition: the person's value is gone, and the owner read back and the history tell."""

    def after(event: dict[str, Any]) -> None:
        if event["object"] == "Account":
            edit = {"OwnerId": people.bea}
            sandbox.world.human_edit("salesforce", "Account", accounts.mercy, edit, by=people.bea)

    image = lane.team([accounts.mercy])
    sandbox.world.on("after_write", after)
    (done,) = _send(lane, [_change(accounts.mercy, people.ana, people.rule)], image)
    assert done.owner == people.bea
    assert done.restored == ()  # the team of an account that is a person's again is left alone


def test_a_team_that_cannot_be_read_back_is_said_so(lane, sandbox, accounts, people):
    image = lane.team([accounts.mercy])
    sandbox.world.faults.add(Fault(verb=Verb.STATUS, status=503, route="composite/sobjects", times=0))
    (done,) = _send(lane, [_change(accounts.mercy, people.ana, people.rule)], image)
    assert (done.result.verdict, done.result.code, done.owner) == (Verdict.OK, "TEAM_UNREAD", None)


def test_members_who_cannot_come_back_are_counted(lane, sandbox, accounts, people):
    sandbox.world.settings.team_drop_probability = 1.0
    sandbox.world.faults.add(Fault(verb=Verb.STATUS, status=400, route="/composite$", times=0))
    (done,) = _send(lane, [_change(accounts.mercy, people.ana, people.rule)])
    assert (done.result.verdict, done.result.code) == (Verdict.OK, "TEAM_INCOMPLETE")
    assert done.result.message == "2 team members went with the owner change, 0 were put back"


@pytest.mark.parametrize("verb", [Verb.RESET_BEFORE, Verb.STATUS_200_HTML])
def test_an_endpoint_that_is_down_does_not_look_like_a_write(lane, sandbox, accounts, people, verb):
    image = lane.team([accounts.mercy])
    sandbox.world.faults.add(Fault(verb=verb, route="/Soap/", times=0))
    (done,) = _send(lane, [_change(accounts.mercy, people.ana, people.rule)], image)
    assert done.result.verdict is Verdict.UNKNOWN
    assert (done.owner, sandbox.world.history) == (people.ana, [])


def test_the_daily_limit_is_fatal_over_soap_too(lane, sandbox, accounts, people):
    image = lane.team([accounts.mercy])
    sandbox.world.settings.daily_limit = sandbox.world.salesforce_calls
    with pytest.raises(Fatal, match="daily API calls"):
        _send(lane, [_change(accounts.mercy, people.ana, people.rule)], image)


def test_an_unknown_field_is_rejected(lane, accounts, people):
    (done,) = _send(lane, [_change(accounts.mercy, people.ana, people.rule, Nope__c="1")])
    assert (done.result.verdict, done.result.code) == (Verdict.REJECTED, "INVALID_FIELD")


def test_text_xml_cannot_carry_is_refused_before_the_wire(lane, sandbox, accounts, people):
    bad, good = _send(
        lane,
        [
            _change(accounts.clinic, people.ana, people.rule, Territory__c="We\x00st"),
            _change(accounts.mercy, people.ana, people.rule, Territory__c="<A&B> \U0001f600"),
        ],
    )
    assert (bad.result.verdict, bad.result.code) == (Verdict.REJECTED, "UNSENDABLE")
    assert good.result.verdict is Verdict.OK
    assert sandbox.world.table("salesforce", "Account")[accounts.mercy]["Territory__c"] == "<A&B> \U0001f600"


def test_an_owner_change_needs_the_old_owner(lane, accounts, people):
    with pytest.raises(ValueError, match="old one in `previous`"):
        _send(lane, [Write(key="k", record_id=accounts.mercy, fields={"OwnerId": people.bea})])


def test_open_opportunities_go_along_only_where_told(salesforce_session, sandbox, accounts, people):
    sandbox.world.settings.cascade_open_opportunities = True
    lane = TeamLane(salesforce_session, moves_opportunities=False)
    _send(lane, [_change(accounts.mercy, people.ana, people.rule)])
    assert not [change for change in sandbox.world.history if change.object == "Opportunity"]
    lane = TeamLane(salesforce_session)
    _send(lane, [_change(accounts.mercy, people.rule, people.ana)])
    before = lane.open_opportunities([accounts.mercy])[accounts.mercy]
    assert [deal.owner_id for deal in before] == [people.ana]


def test_a_lost_lease_stops_before_the_wire(lane, sandbox, accounts, people):
    def refuse() -> None:
        raise PermissionError("the lease is gone")

    with pytest.raises(PermissionError):
        lane.change_owners(
            [_change(accounts.mercy, people.ana, people.rule)], image={}, stamp=STAMP, before_send=refuse
        )
    assert not [request for request in sandbox.world.requests if request.is_write]


# restoring


def test_a_team_is_restored_once_and_nobody_there_is_touched(lane, target, sandbox, accounts, people):
    image = lane.team([accounts.mercy])[accounts.mercy]
    write = Write(key="k", record_id=accounts.mercy, fields={"OwnerId": people.rule})
    target.write([write], lane=Lane.BATCH, stamp=STAMP, before_send=lambda: None)  # ends the team
    assert _restore(lane, image) == [(Verdict.OK, ""), (Verdict.OK, "")]
    sandbox.world.human_edit(
        "salesforce",
        "AccountTeamMember",
        lane.team([accounts.mercy])[accounts.mercy][0].member_id,
        {"TeamMemberRole": "Executive Sponsor"},
        by=people.bea,
    )
    assert _restore(lane, image) == [(Verdict.OK, "PRESENT"), (Verdict.OK, "PRESENT")]
    roles = {member.fields["TeamMemberRole"] for member in lane.team([accounts.mercy])[accounts.mercy]}
    assert "Executive Sponsor" in roles


def test_a_member_lost_with_the_answer_may_be_asked_for_again(lane, sandbox, accounts, people):
    member = TeamMember(record_id=accounts.clinic, user_id=people.bea, fields={"TeamMemberRole": "Sales Rep"})
    sandbox.world.faults.add(Fault(verb=Verb.COMMIT_THEN_RESET, route="/composite$"))
    assert [verdict for verdict, _ in _restore(lane, [member])] == [Verdict.UNKNOWN]
    assert _restore(lane, [member]) == [(Verdict.OK, "PRESENT")]
    assert len(_users(sandbox, accounts.clinic)) == 1


def test_a_level_the_organisation_fixes_does_not_keep_a_member_out(lane, sandbox, accounts, people):
    sandbox.world.settings.contacts_follow_account = True
    fields = {"TeamMemberRole": "Sales Rep", "AccountAccessLevel": "Edit", "ContactAccessLevel": "Read"}
    users = (people.bea, people.rule)
    members = [TeamMember(record_id=accounts.clinic, user_id=user, fields=fields) for user in users]
    assert _restore(lane, members) == [(Verdict.OK, ""), (Verdict.OK, "")]
    back = lane.team([accounts.clinic])[accounts.clinic]
    assert {member.fields["AccountAccessLevel"] for member in back} == {"Edit"}


def test_a_member_the_organisation_refuses_is_rejected(lane, accounts, people):
    unknown = TeamMember(record_id=accounts.clinic, user_id="005000000000zzzAAA")
    assert _restore(lane, [unknown]) == [(Verdict.REJECTED, "INVALID_CROSS_REFERENCE_KEY")]


# the other way: one all-or-none composite


def _versions(target: SalesforceTarget, ids: Sequence[str]) -> dict[str, str]:
    found = target.read(ids, (), versions=True)
    return {key: current.version for key, current in found.items() if current}


@pytest.fixture
def composite(salesforce_session: Session) -> TeamLane:
    return TeamLane(salesforce_session, way=TeamWay.COMPOSITE)


def test_the_composite_way_changes_the_owner_and_makes_the_team_anew(composite, target, sandbox, accounts, people):
    tag = _versions(target, [accounts.mercy])[accounts.mercy]
    (done,) = _send(composite, [_change(accounts.mercy, people.ana, people.rule, version=tag)])
    assert (done.result.verdict, done.result.code, done.owner) == (Verdict.OK, "", people.rule)
    assert _users(sandbox, accounts.mercy) == {people.ana, people.bea}


def test_the_composite_way_never_overwrites_a_person(composite, target, sandbox, accounts, people):
    tag = _versions(target, [accounts.mercy])[accounts.mercy]
    sandbox.world.human_edit("salesforce", "Account", accounts.mercy, {"OwnerId": people.bea}, by=people.bea)
    (done,) = _send(composite, [_change(accounts.mercy, people.ana, people.rule, version=tag)])
    assert done.result.verdict is Verdict.STALE
    assert (_current_owner(sandbox, accounts.mercy), len(_users(sandbox, accounts.mercy))) == (people.bea, 2)


def test_the_composite_way_takes_the_owner_back_when_a_member_is_refused(composite, target, sandbox, accounts, people):
    tag = _versions(target, [accounts.mercy])[accounts.mercy]
    image = {accounts.mercy: [TeamMember(record_id=accounts.mercy, user_id="005000000000zzzAAA")]}
    (done,) = _send(composite, [_change(accounts.mercy, people.ana, people.rule, version=tag)], image)
    assert (done.result.verdict, done.result.code) == (Verdict.REJECTED, "INVALID_CROSS_REFERENCE_KEY")
    assert (_current_owner(sandbox, accounts.mercy), len(_users(sandbox, accounts.mercy))) == (people.ana, 2)


def test_the_composite_way_has_room_for_24_members(composite, target, sandbox, accounts, people):
    tag = _versions(target, [accounts.mercy])[accounts.mercy]
    users = [f"005{number:012d}" for number in range(25)]
    image = {accounts.mercy: [TeamMember(record_id=accounts.mercy, user_id=user) for user in users]}
    (done,) = _send(composite, [_change(accounts.mercy, people.ana, people.rule, version=tag)], image)
    assert (done.result.verdict, done.result.code) == (Verdict.REJECTED, "TEAM_TOO_LARGE")


@pytest.mark.parametrize("way", list(TeamWay))
def test_no_edit_of_a_person_in_the_window_goes_unseen(
    salesforce_session: Session,
    target: SalesforceTarget,
    sandbox: Sandbox,
    many_accounts: Callable[[int], list[str]],
    people: Any,
    way: TeamWay,
) -> None:
    """Half of the accounts are taken by a person between our read and our write."""
    ids = many_accounts(20)
    _with_team(sandbox, ids, [people.ana])
    lane = TeamLane(salesforce_session, way=way)
    tags = _versions(target, ids)
    image = lane.team(ids)
    taken = set(ids[::2])

    def take(event: dict[str, Any]) -> None:
        for one in taken & set(event["ids"]):
            if _current_owner(sandbox, one) == people.bea:
                sandbox.world.human_edit("salesforce", "Account", one, {"OwnerId": people.rule}, by=people.rule)

    sandbox.world.on("before_write", take)
    results = _send(lane, [_change(one, people.bea, people.ana, version=tags[one]) for one in ids], image)
    ours = {change.record_id: change.old for change in sandbox.world.history if change.new == people.ana}
    overwritten = {record_id for record_id, old in ours.items() if old == people.rule}
    assert overwritten == (taken if way is TeamWay.SOAP else set())
    # On SOAP the record's own history shows them: an owner set by a person after our read.
    assert {one.result.verdict for one in results if one.result.record_id in taken} == {
        Verdict.OK if way is TeamWay.SOAP else Verdict.STALE
    }


def test_an_account_that_is_gone_is_a_verdict(lane, accounts, people):
    (done,) = _send(lane, [_change(accounts.closed, people.bea, people.rule)])
    assert (done.result.verdict, done.result.code) == (Verdict.REJECTED, "ENTITY_IS_DELETED")


# who changed what


@pytest.mark.parametrize("labels", [False, True])
def test_history_shows_the_owner_a_person_set_before_ours(target, sandbox, accounts, people, labels):
    sandbox.world.settings.history_labels = labels
    sandbox.world.human_edit("salesforce", "Account", accounts.mercy, {"OwnerId": people.bea}, by=people.bea)
    sandbox.world.human_edit("salesforce", "Account", accounts.mercy, {"ParentId": None}, by=people.bea)
    target.teams.change_owners(
        [_change(accounts.mercy, people.ana, people.rule)], image={}, stamp=STAMP, before_send=lambda: None
    )
    found = target.history([accounts.mercy[:15], accounts.lakeside], ("OwnerId", "Tier_Status__c"))
    assert list(found) == [accounts.mercy[:15]]
    us = sandbox.world.integration_user
    assert [(entry.property, entry.value, entry.user) for entry in found[accounts.mercy[:15]]] == [
        ("OwnerId", people.rule, us),
        ("OwnerId", people.bea, people.bea),
        ("OwnerId", people.ana, ""),  # before the first change kept
    ]
