from __future__ import annotations

from typing import Any

from sync.alerting import NOBODY, OwnershipDigest, Person, ownership_digest

PEOPLE = {
    ("salesforce", "005M"): Person(name="Maria Lopez", email="maria@example.org"),
    ("hubspot", "71"): Person(name="Maria Lopez", email="maria@example.org"),
    ("salesforce", "005P"): Person(name="Priya Shah", email="priya@example.org"),
    ("salesforce", "005K"): Person(name="Ken Abe", email="ken@example.org"),
    ("hubspot", "72"): Person(name="Priya Shah", email="priya@example.org"),
}


def event(record: str, from_user: str | None, to_user: str | None, **more: Any) -> dict[str, Any]:
    plain = {
        "connection": "salesforce",
        "record_id": record,
        "account_name": f"Hospital {record}",
        "kind": "owner_change",
    }
    return {**plain, "from_user": from_user, "to_user": to_user, **more}


def change(record: str, state: str, action: str, **more: Any) -> dict[str, Any]:
    plain = {
        "connection": "salesforce",
        "record_id": record,
        "item_id": f"i{record}",
        "account_name": f"Hospital {record}",
        "field": "owner",
        "state": state,
        "action": action,
        "base_kind": "value",
        "base": "005M",
        "crm": "005K",
        "desired": "005P",
        "actor": "005K",
        "changed_at": "2026-05-19T14:02:00.000Z",
    }
    return {**plain, **more}


EVENTS = [
    event("3", "005M", "005P"),
    event("1", "005M", "005P", kind="moved_system", old_system="Ascension", new_system="Trinity"),
    event("2", "005K", "005P"),
    event("9", "71", "72", connection="hubspot"),
    event("4", None, "005K"),
]
CHANGES = [
    change("5", "drift", "review"),
    change("6", "conflict", "review"),
    change("7", "invalid", "blocked"),
    change("8", "update", "approve"),
    change("6", "conflict", "review", field="territory"),
]


def digest(**more: Any) -> OwnershipDigest:
    return ownership_digest(EVENTS, CHANGES, PEOPLE, plan_id="P-1", **more)


def test_accounts_are_grouped_by_the_pair_of_people_across_both_crms() -> None:
    largest = digest().moves[0]
    assert (largest.from_rep.name, largest.to_rep.name) == ("Maria Lopez", "Priya Shah")
    assert [account.account for account in largest.accounts] == ["Hospital 1", "Hospital 3", "Hospital 9"]


def test_each_person_sees_what_they_lost_and_gained_largest_first() -> None:
    told = digest()
    assert [(book.rep.name, book.accounts) for book in told.lost] == [("Maria Lopez", 3), ("Ken Abe", 1)]
    assert [(book.rep.name, book.accounts) for book in told.gained] == [("Priya Shah", 4), ("Ken Abe", 1)]


def test_a_record_without_an_owner_comes_from_nobody_and_nobody_is_no_person() -> None:
    told = digest()
    assert [move.from_rep.name for move in told.moves if move.to_rep.name == "Ken Abe"] == [NOBODY]
    assert (told.accounts, told.reps, told.systems_moved) == (5, 3, 1)


def test_open_questions_show_the_three_values_and_who_made_them_conflicts_first() -> None:
    told = digest()
    assert [question.account for question in told.questions] == ["Hospital 6", "Hospital 5"]
    first = told.questions[0]
    assert (first.agreed, first.in_crm, first.proposed, first.changed_by) == (
        "Maria Lopez",
        "Ken Abe",
        "Priya Shah",
        "Ken Abe",
    )
    assert (told.questions_total, told.blocked) == (2, 1)


def test_long_lists_are_cut_and_say_how_many_are_left_out() -> None:
    told = digest(top_moves=1, top_questions=1)
    assert (len(told.moves), told.moves_left_out, len(told.questions), told.questions_total) == (1, 2, 1, 2)


def test_redacted_digests_name_no_account() -> None:
    told = digest(redact=True)
    assert "Hospital" not in repr(told)


def test_the_subject_counts_and_the_order_of_the_rows_does_not_matter() -> None:
    told = digest()
    assert told.subject == "[Platbook] 5 owner changes applied, 2 need a decision (plan P-1)"
    assert ownership_digest(EVENTS[::-1], CHANGES[::-1], PEOPLE, plan_id="P-1") == told


def test_a_user_nobody_knows_is_shown_by_id() -> None:
    told = ownership_digest([event("1", "005?", "005P")], [], PEOPLE, plan_id="P-2")
    assert told.moves[0].from_rep.name == "005?"
    assert told.subject == "[Platbook] 1 owner change applied (plan P-2)"
