"""The two-person rule: who counts, from which size on, and that a no stands against it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.load import load
from mappings.policy import ApprovalRule
from sync.planning.approvals import Ask, may_override, missing, outvoted


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


def test_a_limit_is_let_through_by_somebody_else_than_the_author() -> None:
    second = [rule("guard_override", over=0, approvers=1)]
    assert may_override({"ana"}, second, author="ana").startswith("guard_override needs 1")
    assert may_override({"bea"}, second, author="ana") == ""
    assert may_override(set(), [], author="ana") == ""


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


def test_where_persons_are_verified_a_passed_limit_takes_a_second_person() -> None:
    conflicts = load().policies.conflicts
    assert not may_override({"ana"}, conflicts.override_rules, author="ana")  # nobody is verified yet
    verified = conflicts.model_copy(update={"require_verified_person": True})
    assert may_override({"ana"}, verified.override_rules, author="ana").startswith("guard_override needs 1")
    assert not may_override({"bea"}, verified.override_rules, author="ana")
    stated = verified.model_copy(update={"requires": (rule("guard_override", over=0, approvers=2),)})
    assert may_override({"bea"}, stated.override_rules, author="ana").startswith("guard_override needs 2")
