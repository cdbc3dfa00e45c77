"""The two-person rule: who counts, from which size on, and that a no stands against it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.load import load
from mappings.policy import ApprovalRule
from sync.planning.approvals import Ask, Author, OverrideTerms, missing, outvoted, override_terms

SHIPPED = load().policies.conflicts


def rule(of: str = "ownership", *, over: int = 1, approvers: int = 2, not_author: bool = True) -> ApprovalRule:
    return ApprovalRule.model_validate(
        {"class": of, "accounts_over": over, "approvers": approvers, "not_author": not_author}
    )


def asks(count: int, *voices: str, group: str = "ownership") -> list[Ask]:
    return [
        Ask(item_id=f"i{n}", group=group, account=("salesforce", str(n)), voices=frozenset(voices))
        for n in range(count)
    ]


def test_a_small_change_needs_nobody_more() -> None:
    assert missing(asks(1), [rule()], author="ana") == {}


def test_above_the_size_every_item_needs_two_persons() -> None:
    assert missing(asks(2, "bea"), [rule()], author="ana") == {
        f"i{n}": "ownership needs 2 verified persons other than its author; 1 agreed" for n in range(2)
    }
    assert missing(asks(2, "bea", "dee"), [rule()], author="ana") == {}


def test_the_author_does_not_count_however_the_name_is_written() -> None:
    assert missing(asks(2, "ANA", "bea"), [rule()], author="ana")
    assert not missing(asks(2, "ANA", "bea"), [rule(not_author=False)], author="ana")


def test_a_plan_applied_in_parts_is_one_plan() -> None:
    written = [("ownership", ("salesforce", "w"))]
    assert missing(asks(1), [rule()], author="ana", written=written)
    assert missing(asks(1), [rule()], author="ana", written=[("hierarchy", ("salesforce", "w"))]) == {}
    assert missing(asks(1), [rule()], author="ana", written=[("ownership", ("salesforce", "0"))]) == {}  # the same one


def test_a_named_account_needs_two_persons_however_few_there_are() -> None:
    both = rule().model_copy(update={"named_accounts": True})
    plain, named = asks(2)[0], replace(asks(2)[1], is_named=True)
    assert missing([plain], [both], author="ana") == {}
    assert set(missing([named], [both], author="ana")) == {"i1"}
    assert missing([named], [rule()], author="ana") == {}


def test_a_rule_of_another_group_says_nothing() -> None:
    assert missing(asks(9, group="hierarchy"), [rule()], author="ana") == {}
    assert missing(asks(9, group="hierarchy"), [rule("*")], author="ana")


def test_two_items_of_one_account_are_one_account() -> None:
    pair = [Ask(item_id=group, group=group, account=("salesforce", "1")) for group in ("ownership", "hierarchy")]
    assert missing(pair, [rule("*")], author="ana") == {}


def terms(*rules: ApprovalRule, kind: str | None = Author.PERSON, persons: bool = True, **more: bool) -> OverrideTerms:
    """The terms of a plan of Ana's."""
    policy = SHIPPED.model_copy(update={"requires": rules, **more})
    return override_terms(policy, has_persons=persons, author="ana", kind=kind)


def override(approvers: int, *, not_author: bool = True) -> ApprovalRule:
    return rule("guard_override", over=0, approvers=approvers, not_author=not_author)


def test_where_nobody_is_registered_one_named_person_lets_a_limit_through() -> None:
    fresh = terms(persons=False, kind=Author.USER)
    assert fresh.lack([], others=True) == ""
    assert fresh.lack([]) != ""
    assert "platbook people add" in fresh.says


def test_from_the_first_registered_person_on_it_takes_a_verified_one_who_did_not_make_the_plan() -> None:
    ours = terms()
    assert ours.lack([], others=True) == "one verified person"
    assert ours.lack(["ANA"], others=True) == "one verified person"
    assert ours.lack(["bea"]) == ""
    assert "other than ana" in ours.says
    assert terms(persons=False, require_verified_person=True) == ours


def test_a_plan_of_the_daemon_has_no_author_who_could_agree_to_himself() -> None:
    assert terms(kind=Author.DAEMON).lack(["ana"]) == ""
    assert terms(kind=Author.DAEMON).lack([], others=True) == "one verified person"


@pytest.mark.parametrize("kind", [Author.USER, None])
def test_where_nobody_can_tell_who_made_the_plan_it_takes_one_more(kind: str | None) -> None:
    unknown = terms(kind=kind)
    assert unknown.lack(["ana"], others=True) == "one verified person"
    assert unknown.lack(["ana", "ANA"]) == "one verified person"
    assert unknown.lack(["ana", "bea"]) == ""
    assert "may be any of them" in unknown.says


def test_the_policy_may_ask_for_more_or_for_less() -> None:
    assert terms(override(2)).lack(["bea"]) == "one verified person"
    assert terms(override(1, not_author=False)).lack(["ana"]) == ""
    assert terms(override(1, not_author=False), kind=Author.USER).lack(["bea"]) == ""
    assert terms(override(0)).lack([], others=True) == ""
    assert terms(override(0), require_verified_person=True).lack([], others=True) == "one verified person"
    assert terms(override(1), persons=False).lack([], others=True) == "one verified person"


@settings(max_examples=40, deadline=None)
@given(
    st.frozensets(st.sampled_from(("ana", "bea", "dee", "eli"))),
    st.lists(st.builds(override, st.integers(0, 4), not_author=st.booleans()), max_size=1),
    st.sampled_from((*Author, None)),
    st.booleans(),
)
def test_enough_persons_stay_enough_and_the_known_author_alone_is_never(
    heard: frozenset[str], rules: list[ApprovalRule], kind: str | None, persons: bool
) -> None:
    found = terms(*rules, kind=kind, persons=persons)
    if not found.lack(heard):
        assert not found.lack([*heard, "zoe"])
    if not rules and persons and kind == Author.PERSON:
        assert found.lack(["ana"], others=True)


def test_one_no_outvotes_every_yes() -> None:
    assert outvoted({"bea": True, "dee": False}) == frozenset()
    assert outvoted({"bea": True}) == {"bea"}


PEOPLE = st.frozensets(st.sampled_from(("ana", "bea", "dee", "eli")))


@settings(max_examples=60, deadline=None)
@given(st.lists(PEOPLE, max_size=5), st.integers(0, 4), st.integers(1, 3), st.booleans(), st.data())
def test_one_more_voice_never_takes_a_permission_away(
    voices: list[frozenset[str]], over: int, approvers: int, not_author: bool, data: st.DataObject
) -> None:
    rules = [rule(over=over, approvers=approvers, not_author=not_author)]
    more = [voice | data.draw(PEOPLE) for voice in voices]

    def lacking(given_voices: list[frozenset[str]]) -> set[str]:
        made = [
            Ask(item_id=str(n), group="ownership", account=("hubspot", str(n)), voices=voice)
            for n, voice in enumerate(given_voices)
        ]
        return set(missing(made, rules, author="ana"))

    assert lacking(more) <= lacking(voices)
