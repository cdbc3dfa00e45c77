"""Answers against a plan, and the promise that a finished plan leaves nothing to write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.policy import FieldPolicy, Policies
from sync.planning.decisions import Answer, Refusal, Resolution, Verdict, moves_without_write, resolve
from sync.planning.groups import WRITABLE
from sync.world import Plan, World

NOW = "2026-06-01T06:00:00.000Z"
Rows = list[dict[str, Any]]

VALUES = {"owner": "005A", "territory": "west", "account_tier": "T1"}


@pytest.fixture(scope="module")
def planned(
    plan_of: Callable[..., Plan], world: Callable[..., World], rows_of: Callable[[Any], Rows]
) -> tuple[Rows, Rows]:
    """Items and changes: two owner updates, a drift, an automatic tier and a team-blocked owner."""
    names = ("update", "other", "drift", "auto", "team")
    seen = world(
        records=[{"record_id": n, **VALUES, **({"owner": "005C"} if n == "drift" else {})} for n in names],
        agreed=[{"record_id": n, **VALUES} for n in names],
        team_members=[{"record_id": "team", "user_id": "005C"}],
    )
    wishes = [
        {"record_id": "update", "owner": "005B", "territory": "east"},
        {"record_id": "other", "owner": "005B"},
        {"record_id": "drift", "owner": "005A"},
        {"record_id": "auto", "account_tier": "T2"},
        {"record_id": "team", "owner": "005B"},
    ]
    plan = plan_of(wishes, seen)
    return rows_of(plan.items), rows_of(plan.changes)


def answered(planned: tuple[Rows, Rows], **answers: Answer) -> Resolution:
    items, changes = planned
    prints = {row["record_id"]: row["fingerprint"] for row in items}
    return resolve(items, changes, {prints[name]: answer for name, answer in answers.items()}, now=NOW)


def records(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return sorted(row["record_id"] for row in rows)


def say(verdict: Verdict, **more: Any) -> Answer:
    return Answer(verdict=verdict, by="mia", **more)


def test_without_answers_only_automatic_items_are_written(planned: tuple[Rows, Rows]) -> None:
    told = answered(planned)
    assert records(writing.item for writing in told.writings) == ["auto"]
    assert records(told.waiting) == ["drift", "other", "update"]


def test_an_approved_group_is_written_whole_with_what_the_plan_saw(planned: tuple[Rows, Rows]) -> None:
    told = answered(planned, update=say(Verdict.APPROVE))
    (writing,) = [one for one in told.writings if one.item["record_id"] == "update"]
    assert writing.want == {"owner": "005B", "territory": "east"}
    assert writing.before == {"owner": "005A", "territory": "west"}


def test_a_kept_value_is_agreed_and_the_proposal_refused_until_the_answer_expires(planned: tuple[Rows, Rows]) -> None:
    told = answered(planned, drift=say(Verdict.KEEP_CRM, reason="knows them", expires_at="2027-01-31T00:00:00.000Z"))
    (move,), (refusal,) = told.moves, told.refusals
    assert (move.field, move.kind, move.value) == ("owner", "value", "005C")
    assert (refusal.kept, refusal.refused, refusal.until) == ("005C", "005A", "2027-01-31")
    assert (refusal.by, refusal.reason) == ("mia", "knows them")


def test_an_edit_writes_the_persons_value_and_refuses_ours(planned: tuple[Rows, Rows]) -> None:
    told = answered(planned, update=say(Verdict.EDIT, edited={"owner": "005C"}))
    (writing,) = [one for one in told.writings if one.item["record_id"] == "update"]
    assert writing.want == {"owner": "005C", "territory": "east"}
    assert writing.refusals == (
        Refusal(
            connection="salesforce",
            record_id="update",
            field="owner",
            kept="005C",
            refused="005B",
            reason="",
            by="mia",
        ),
    )


@pytest.fixture(scope="module")
def asked_again(
    plan_of: Callable[..., Plan], world: Callable[..., World], rows_of: Callable[[Any], Rows]
) -> tuple[Rows, Rows]:
    """A group in which Mia kept the owner earlier, and another territory is proposed now."""
    values = {"record_id": "1", "owner": "005A", "territory": "west"}
    kept = {"record_id": "1", "field": "owner", "kept": "005A", "refused": "005B", "by": "mia"}
    wish = {"record_id": "1", "owner": "005B", "territory": "east"}
    plan = plan_of([wish], world(records=[values], agreed=[values], overrides=[kept]))
    return rows_of(plan.items), rows_of(plan.changes)


@pytest.mark.parametrize(
    ("answer", "want", "refusals"),
    {
        "an approval leaves the kept field": (say(Verdict.APPROVE), {"territory": "east"}, []),
        "taking ours takes the kept field too, and takes the refusal back": (
            say(Verdict.TAKE_OURS),
            {"owner": "005B", "territory": "east"},
            [("owner", "005B", "005A")],
        ),
        "an edit of the rest leaves the kept field": (
            say(Verdict.EDIT, edited={"territory": "north"}),
            {"territory": "north"},
            [("territory", "north", "east")],
        ),
        "an edit of the kept field writes it": (
            say(Verdict.EDIT, edited={"owner": "005C"}),
            {"owner": "005C", "territory": "east"},
            [("owner", "005C", "005B")],
        ),
    }.values(),
)
def test_a_field_kept_earlier_is_not_carried_along(
    asked_again: tuple[Rows, Rows], answer: Answer, want: dict[str, str], refusals: list[tuple[str, str, str]]
) -> None:
    (item,), changes = asked_again
    assert item["action"] == "review"
    (writing,) = resolve([item], changes, {item["fingerprint"]: answer}, now=NOW).writings
    assert writing.want == want
    assert [(one.field, one.kept, one.refused) for one in writing.refusals] == refusals


def test_rejected_deferred_and_expired_answers_write_nothing(planned: tuple[Rows, Rows]) -> None:
    told = answered(
        planned,
        auto=say(Verdict.REJECT),
        update=say(Verdict.DEFER),
        other=say(Verdict.APPROVE, expires_at=NOW),
    )
    assert told.writings == ()
    assert records(told.rejected) == ["auto"]
    assert records(told.waiting) == ["drift", "other", "update"]


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_blocked_item_is_neither_written_nor_kept_whatever_is_answered(
    planned: tuple[Rows, Rows], verdict: Verdict
) -> None:
    told = answered(planned, team=say(verdict))
    assert "team" not in records(one.item for one in told.writings)
    assert records(told.kept) == []


def test_a_value_that_may_not_be_emptied_can_be_kept_for_good(
    plan_of: Callable[..., Plan], world: Callable[..., World], rows_of: Callable[[Any], Rows]
) -> None:
    tables: dict[str, Rows] = {
        "records": [{"record_id": "1", "health_system": "Trinity"}],
        "agreed": [{"record_id": "1", "health_system": "Trinity"}],
    }
    wishes = [{"record_id": "1", "health_system": None}]
    plan = plan_of(wishes, world(**tables))
    (item,) = rows_of(plan.items)
    answers = {item["fingerprint"]: say(Verdict.KEEP_CRM)}
    told = resolve([item], rows_of(plan.changes), answers, now=NOW)
    assert (item["action"], records(told.kept)) == ("blocked", ["1"])
    refusals = [{"record_id": "1", "field": "health_system", "kept": "Trinity", "by": "mia"}]
    again = plan_of(wishes, world(**tables, overrides=refusals))
    (item,) = rows_of(again.items)
    assert item["fingerprint"] in answers
    assert item["action"] == "overridden"
    assert resolve([item], rows_of(again.changes), answers, now=NOW).kept == ()


def test_agreed_values_move_beside_the_items(
    plan_of: Callable[..., Plan],
    world: Callable[..., World],
    policies: Callable[..., Policies],
    rows_of: Callable[[Any], Rows],
) -> None:
    names = ("converged", "adopted", "released", "gone", "empty")
    seen = world(
        records=[
            {"record_id": "converged", "owner": "005B"},
            {"record_id": "adopted", "owner": "005C"},
            {"record_id": "released", "owner": "005C"},
            {"record_id": "empty"},
        ],
        agreed=[{"record_id": name, "owner": "005A"} for name in names],
    )
    wishes = [{"record_id": "converged", "owner": "005B"}, {"record_id": "adopted", "owner": "005A"}]
    wishes += [{"record_id": "empty", "owner": None}]
    rules = policies({"owner": FieldPolicy(group="ownership", on_drift="adopt")})
    moved = list(moves_without_write(rows_of(plan_of(wishes, seen, rules).changes)))
    assert {move.record_id: (move.kind, move.value) for move, _ in moved} == {
        "converged": ("value", "005B"),
        "adopted": ("value", "005C"),
        "released": ("released", None),
        "gone": ("released", None),
        "empty": ("empty", None),
    }
    assert [(r.record_id, r.kept, r.refused, r.by) for _, r in moved if r] == [("adopted", "005C", "005A", "policy")]


# --- a finished plan leaves nothing to write --------------------------------------------------------------------------

FIELDS = ("owner", "territory", "account_tier", "health_system")
PICK = {
    "owner": ["005A", "005B", "005C", "005X"],
    "territory": ["west", "east", None],
    "account_tier": ["T1", "T2", None],
    "health_system": ["Trinity", "Ascension", None],
}
CRM = st.fixed_dictionaries({name: st.sampled_from([*PICK[name], None]) for name in FIELDS})
AGREED = st.fixed_dictionaries({}, optional={name: st.sampled_from([*PICK[name], ...]) for name in FIELDS})
WANTED = st.fixed_dictionaries({}, optional={name: st.sampled_from(PICK[name]) for name in FIELDS})
GONE = st.sampled_from([False] * 9 + [True])
KEPT = st.one_of(  # what somebody kept earlier: field, against which proposal
    st.none(), st.sampled_from(FIELDS[:2]).flatmap(lambda name: st.tuples(st.just(name), st.sampled_from(PICK[name])))
)
RECORDS = st.lists(st.tuples(CRM, AGREED, WANTED, GONE, KEPT), min_size=15, max_size=40)
POLICY = st.builds(
    FieldPolicy,
    group=st.sampled_from(["", "ownership"]),
    on_fill=st.sampled_from(["auto", "review", "never"]),
    on_update=st.sampled_from(["auto", "approve", "review"]),
    on_drift=st.sampled_from(["review", "adopt", "enforce"]),
    on_conflict=st.sampled_from(["review", "ours", "theirs"]),
    on_takeover=st.sampled_from(["review", "ours", "adopt"]),
    clear=st.sampled_from(["forbid", "review", "auto"]),
)
VERDICTS = st.sampled_from(
    [say(Verdict.APPROVE), say(Verdict.TAKE_OURS), say(Verdict.KEEP_CRM), say(Verdict.EDIT, edited={"owner": "005C"})]
)


Drawn = tuple[dict[str, Any], dict[str, Any], dict[str, Any], bool, tuple[str, str | None] | None]
"""CRM, agreed and wanted values of a record, whether it is gone, and what somebody kept."""


class Books:
    """A CRM and Platbook's memory of it, as an apply run without faults would leave them."""

    def __init__(self, rows: list[Drawn]) -> None:
        self.crm = {f"{i:02}": dict(row[0]) for i, row in enumerate(rows)}
        self.agreed = {f"{i:02}": dict(row[1]) for i, row in enumerate(rows)}
        self.wanted = [{"record_id": f"{i:02}", **row[2]} for i, row in enumerate(rows) if not row[3]]
        self.gone = {f"{i:02}" for i, row in enumerate(rows) if row[3]}
        self.overrides: dict[tuple[str, str], dict[str, Any]] = {}
        for record, row in zip(self.crm, rows, strict=True):
            if row[4]:
                name, refused = row[4]
                kept = {"record_id": record, "field": name, "kept": self.crm[record][name], "refused": refused}
                self.overrides[record, name] = {**kept, "by": "mia", "reason": "hers"}

    def tables(self) -> dict[str, Rows]:
        return {
            "records": [{"record_id": i, **row, "is_deleted": i in self.gone} for i, row in self.crm.items()],
            "agreed": [{"record_id": i, **row} for i, row in self.agreed.items()],
            "overrides": list(self.overrides.values()),
        }

    def carry_out(self, told: Resolution, changes: Rows) -> None:
        for writing in told.writings:
            record = writing.item["record_id"]
            assert {name: self.crm[record][name] for name in writing.before} == writing.before
            self.crm[record].update(writing.want)
            self.agreed[record].update(writing.want)
            self._refuse(writing.refusals)
        beside = list(moves_without_write(changes))
        for move in [*told.moves, *(move for move, _ in beside)]:
            self.agreed[move.record_id][move.field] = ... if move.kind == "released" else move.value
        self._refuse([*told.refusals, *(refusal for _, refusal in beside if refusal)])

    def _refuse(self, refusals: Iterable[Refusal]) -> None:
        for one in refusals:
            row = {"record_id": one.record_id, "field": one.field, "kept": one.kept, "refused": one.refused}
            self.overrides[one.record_id, one.field] = {**row, "by": one.by, "reason": one.reason}


@settings(max_examples=10, deadline=None)
@given(rows=RECORDS, owner=POLICY, territory=POLICY, system=POLICY, verdicts=st.lists(VERDICTS, min_size=5, max_size=5))
def test_after_a_finished_plan_the_next_one_has_nothing_to_write_and_nothing_to_agree(
    rows: list[Drawn],
    owner: FieldPolicy,
    territory: FieldPolicy,
    system: FieldPolicy,
    verdicts: list[Answer],
    plan_of: Callable[..., Plan],
    world: Callable[..., World],
    policies: Callable[..., Policies],
    rows_of: Callable[[Any], Rows],
) -> None:
    books = Books(rows)
    rules = policies({"owner": owner, "territory": territory, "health_system": system})
    first = plan_of(books.wanted, world(**books.tables()), rules)
    items, changes = rows_of(first.items.sort("sequence")), rows_of(first.changes)
    assert {row["item_id"]: row["action"] for row in items} == group_actions(changes)
    answers = {row["fingerprint"]: verdicts[i % len(verdicts)] for i, row in enumerate(items)}
    books.carry_out(resolve(items, changes, answers, now=NOW), changes)
    second = plan_of(books.wanted, world(**books.tables()), rules)
    assert [row for row in rows_of(second.items) if row["action"] in WRITABLE] == []
    assert [row for row in rows_of(second.changes) if row["action"] == "agree"] == []
    assert not {row["record_id"] for row in rows_of(second.items)} & books.gone


def group_actions(changes: Rows) -> dict[str, str]:
    """Item id -> what happens to the group, read field by field: the most careful, but a refusal alone keeps quiet."""
    grouped: dict[tuple[str, str], Rows] = {}
    for row in changes:
        grouped.setdefault((row["record_id"], row["group"]), []).append(row)
    return {
        item_ids.pop(): _group_action(rows)
        for rows in grouped.values()
        if (item_ids := {row["item_id"] for row in rows if row["item_id"]})
    }


def _group_action(rows: Rows) -> str:
    actions = {row["action"] for row in rows}
    asks = actions & {"review", "approve", "auto"}
    adopts = any(row["action"] == "agree" and row["state"] in ("takeover", "drift", "conflict") for row in rows)
    for quiet in ("blocked", "held"):
        if quiet in actions:
            return quiet
    if "overridden" in actions:
        return "review" if asks else "overridden"
    if "review" in asks or adopts:
        return "review"
    return "approve" if "approve" in asks else "auto"
