"""One account per row of the decision table, planned together end to end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobs import engines
from mappings.policy import Policies
from sync.planning.guards import breaches
from sync.planning.plan import build_plan
from sync.world import CHANGES, ITEMS, OWNERSHIP_EVENTS, TEXT, Plan, World

RECORDS: list[dict[str, Any]] = [
    {"record_id": "fill"},
    {"record_id": "takeover", "owner": "005A"},
    {"record_id": "update", "owner": "005A", "territory": "midwest"},
    {"record_id": "drift", "owner": "005C"},
    {"record_id": "conflict", "owner": "005C"},
    {"record_id": "converged", "owner": "005B"},
    {"record_id": "held", "owner": "005A"},
    {"record_id": "override", "owner": "005C"},
    {"record_id": "lapsed", "owner": "005C"},
    {"record_id": "team", "owner": "005A"},
    {"record_id": "inactive", "owner": "005A"},
    {"record_id": "deleted", "owner": "005A", "is_deleted": True, "name": "Closed Clinic"},
    {"record_id": "merged", "owner": "005A", "merged_into": "update"},
    {"record_id": "noop", "owner": "005B", "account_tier": "T1"},
    {"record_id": "released", "owner": "005C"},
    {"record_id": "cleared", "health_system": "Ascension"},
    {"record_id": "moved", "owner": "005A", "parent": "noop", "account_tier": "T1"},
]
AGREED: list[dict[str, Any]] = [
    {"record_id": "update", "owner": "005A", "territory": "midwest"},
    {"record_id": "drift", "owner": "005B"},
    {"record_id": "conflict", "owner": "005A"},
    {"record_id": "converged", "owner": "005A"},
    {"record_id": "held", "owner": "005A"},
    {"record_id": "override", "owner": "005C"},
    {"record_id": "lapsed", "owner": "005C"},
    {"record_id": "team", "owner": "005A"},
    {"record_id": "inactive", "owner": "005A"},
    {"record_id": "deleted", "owner": "005A"},
    {"record_id": "merged", "owner": "005A"},
    {"record_id": "noop", "owner": "005B", "account_tier": "T1"},
    {"record_id": "released", "owner": "005A"},
    {"record_id": "cleared", "health_system": "Ascension"},
    {"record_id": "moved", "owner": "005A", "parent": "noop", "account_tier": "T1"},
]
WANTED: list[dict[str, Any]] = [
    {"record_id": "fill", "health_system": "Trinity"},
    {"record_id": "takeover", "owner": "005B"},
    {"record_id": "update", "owner": "005B", "territory": "midwest", "old_system": "Ascension", "system": "Trinity"},
    {"record_id": "drift", "owner": "005B"},
    {"record_id": "conflict", "owner": "005B"},
    {"record_id": "converged", "owner": "005B"},
    {"record_id": "held", "owner": "005B"},
    {"record_id": "override", "owner": "005B"},
    {"record_id": "lapsed", "owner": "005B"},
    {"record_id": "team", "owner": "005B"},
    {"record_id": "inactive", "owner": "005X"},
    {"record_id": "noop", "owner": "005B", "account_tier": "T1"},
    {"record_id": "released"},
    {"record_id": "cleared", "health_system": None},
    {"record_id": "moved", "owner": "005B", "parent": "update", "account_tier": "T2", "depth": 2},
]
TABLES: dict[str, list[dict[str, Any]]] = {
    "records": RECORDS,
    "agreed": AGREED,
    "team_members": [{"record_id": "team", "user_id": user} for user in ("005B", "005C")],
    "holds": [{"record_id": "held", "group": "ownership", "kind": "grandfather", "reason": "in-flight", "by": "mia"}],
    "overrides": [
        {
            "record_id": "override",
            "field": "owner",
            "kept": "005C",
            "refused": "005B",
            "reason": "knows them",
            "by": "mia",
        },
        {
            "record_id": "lapsed",
            "field": "owner",
            "kept": "005C",
            "refused": "005B",
            "reason": "one year",
            "by": "mia",
            "until": "2026-05-31",
        },
    ],
    "field_changes": [
        {
            "record_id": "conflict",
            "field": "owner",
            "changed_at": "2026-05-10T10:00:00.000Z",
            "changed_by": "005KEN",
            "actor_kind": "human",
            "new_value": "005C",
        },
        {
            "record_id": "conflict",
            "field": "owner",
            "changed_at": "2026-05-20T10:00:00.000Z",
            "changed_by": "005LIN",
            "actor_kind": "human",
            "new_value": "005A",
        },
        {
            "record_id": "update",
            "field": "owner",
            "changed_at": "2026-04-01T10:00:00.000Z",
            "changed_by": "005US",
            "actor_kind": "integration",
            "new_value": "005A",
        },
    ],
}


@pytest.fixture(scope="module")
def example(plan_of: Callable[..., Plan], world: Callable[..., World]) -> Plan:
    return plan_of(WANTED, world(**TABLES))


@pytest.fixture(scope="module")
def items(example: Plan, rows_of: Callable[[Any], list[dict[str, Any]]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["record_id"], row["group"]): row for row in rows_of(example.items)}


@pytest.fixture(scope="module")
def changes(example: Plan, rows_of: Callable[[Any], list[dict[str, Any]]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["record_id"], row["field"]): row for row in rows_of(example.changes)}


def test_each_account_ends_in_its_row_of_the_table(items: dict[tuple[str, str], dict[str, Any]]) -> None:
    assert {key: (row["state"], row["action"]) for key, row in items.items()} == {
        ("fill", "system"): ("fill", "auto"),
        ("takeover", "ownership"): ("takeover", "review"),
        ("update", "ownership"): ("update", "approve"),
        ("drift", "ownership"): ("drift", "review"),
        ("conflict", "ownership"): ("conflict", "review"),
        ("held", "ownership"): ("held", "held"),
        ("override", "ownership"): ("overridden", "overridden"),
        ("lapsed", "ownership"): ("override_lapsed", "review"),
        ("team", "ownership"): ("invalid", "blocked"),
        ("inactive", "ownership"): ("invalid", "blocked"),
        ("deleted", "ownership"): ("orphan", "blocked"),
        ("merged", "ownership"): ("orphan", "blocked"),
        ("cleared", "system"): ("clear", "blocked"),
        ("moved", "hierarchy"): ("update", "approve"),
        ("moved", "ownership"): ("update", "approve"),
        ("moved", "segmentation"): ("update", "auto"),
    }


def test_moves_without_a_write_are_changes_but_no_items(changes: dict[tuple[str, str], dict[str, Any]]) -> None:
    silent = {key: (row["state"], row["item_id"]) for key, row in changes.items() if row["action"] == "agree"}
    assert silent == {("converged", "owner"): ("converged", None), ("released", "owner"): ("released", None)}


def test_reasons_say_what_stands_in_the_way(items: dict[tuple[str, str], dict[str, Any]]) -> None:
    reasons = {record: row["reason"] for (record, _), row in items.items() if row["reason"]}
    assert reasons == {
        "team": "account team has 2 members; an owner change by REST would drop it",
        "inactive": "the proposed owner is inactive in this CRM; name a successor",
        "held": "grandfather: in-flight, by mia",
        "override": "kept by mia: knows them",
        "lapsed": "kept by mia: one year, until 2026-05-31",
        "deleted": "record is deleted in the CRM; nothing is written and its agreement is released",
        "merged": "record was merged into update; its values follow the survivor",
        "cleared": "the conflict policy forbids emptying this field; keep the CRM's value or allow it there",
    }


def test_the_actor_is_who_put_this_very_value_there(changes: dict[tuple[str, str], dict[str, Any]]) -> None:
    def told(record: str) -> tuple[Any, ...]:
        row = changes[record, "owner"]
        return row["actor_kind"], row["actor"], row["changed_at"]

    assert told("conflict") == ("human", "005KEN", "2026-05-10T10:00:00.000Z")
    assert told("update") == ("us", "005US", "2026-04-01T10:00:00.000Z")
    assert told("drift") == ("unknown", "005LAST", "2026-05-01T00:00:00.000Z")
    assert changes["fill", "health_system"]["actor"] is None


def test_parents_come_first_and_what_follows_from_them_names_them(
    items: dict[tuple[str, str], dict[str, Any]],
) -> None:
    parent = items["moved", "hierarchy"]
    assert parent["sequence"] == 1
    assert items["moved", "ownership"]["caused_by"] == parent["item_id"]
    assert {items["moved", group]["sequence"] for group in ("ownership", "segmentation")} == {2, 3}
    assert items["update", "ownership"]["caused_by"] is None
    assert sorted(row["sequence"] for row in items.values()) == list(range(1, len(items) + 1))


def test_a_written_group_lists_only_the_fields_that_differ(items: dict[tuple[str, str], dict[str, Any]]) -> None:
    assert items["update", "ownership"]["fields"] == "owner"
    assert items["moved", "segmentation"]["fields"] == "account_tier"


def test_owner_changes_that_may_be_written_are_events_with_the_system_move(
    example: Plan, rows_of: Callable[[Any], list[dict[str, Any]]]
) -> None:
    events = {row["record_id"]: row for row in rows_of(example.events)}
    assert set(events) == {"takeover", "update", "drift", "conflict", "lapsed", "moved"}
    moved = events["update"]
    assert (moved["kind"], moved["old_system"], moved["new_system"]) == ("moved_system", "Ascension", "Trinity")
    assert (moved["from_user"], moved["to_user"]) == ("005A", "005B")
    assert events["drift"]["kind"] == "owner_change"


def test_first_contact_stops_the_plan_and_says_how_to_go_on(example: Plan) -> None:
    stopped = {(result.guard, result.subject): result for result in breaches(example.guards)}
    assert set(stopped) == {("first_contact", "salesforce:health_system"), ("first_contact", "salesforce:owner")}
    message = stopped["first_contact", "salesforce:owner"].message
    assert message.startswith(
        "salesforce:owner: 1 of 15 (6.6 %) values are set where nothing was ever agreed, limit 0."
    )
    assert "accepts first_contact:salesforce:owner" in message


def test_a_record_the_rules_no_longer_look_at_keeps_the_name_the_crm_gave_it(
    items: dict[tuple[str, str], dict[str, Any]],
) -> None:
    assert items["deleted", "ownership"]["account_name"] == "Closed Clinic"


def test_the_counts_say_what_was_looked_at_and_what_came_of_it(example: Plan) -> None:
    counts = example.counts
    assert (counts["records"], counts["records:salesforce"], counts["fields_compared"]) == (15, 15, 165)
    assert counts["items"] == 16
    assert counts["state:update"] == 4
    assert counts["action:blocked"] == 5
    assert counts["agree:converged"] == 1


def test_tables_have_the_promised_columns_in_order(example: Plan) -> None:
    for frame, schema in ((example.items, ITEMS), (example.changes, CHANGES), (example.events, OWNERSHIP_EVENTS)):
        assert dict(frame.collect_schema()) == dict(schema)


def test_the_order_of_all_input_rows_changes_nothing_in_the_plan(
    example: Plan, plan_of: Callable[..., Plan], world: Callable[..., World], rows_of: Callable[[Any], Any]
) -> None:
    turned = plan_of(WANTED[::-1], world(**{name: rows[::-1] for name, rows in TABLES.items()}))
    assert turned.digest == example.digest
    assert turned.guards == example.guards
    assert turned.counts == example.counts
    assert rows_of(turned.items.sort("sequence")) == rows_of(example.items.sort("sequence"))


def test_a_plan_compared_in_small_parts_is_the_same_plan(
    example: Plan, plan_of: Callable[..., Plan], world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "PART_ROWS", 4)
    in_parts = plan_of(WANTED, world(**TABLES))
    assert (in_parts.digest, in_parts.counts, in_parts.guards) == (example.digest, example.counts, example.guards)


def test_one_other_value_gives_another_digest_and_reopens_only_its_own_item(
    example: Plan, plan_of: Callable[..., Plan], world: Callable[..., World], rows_of: Callable[[Any], Any]
) -> None:
    records = [dict(row, owner="005C") if row["record_id"] == "update" else row for row in RECORDS]
    other = plan_of(WANTED, world(**{**TABLES, "records": records}))
    assert other.digest != example.digest
    before, after = ({row["fingerprint"] for row in rows_of(plan.items)} for plan in (example, other))
    assert len(before - after) == len(after - before) == 1


def test_hidden_fields_are_unreadable_and_unmapped_ones_are_left_alone(
    plan_of: Callable[..., Plan], world: Callable[..., World], rows_of: Callable[[Any], Any]
) -> None:
    settings = {
        "hidden": {"salesforce": frozenset({"owner"})},
        "unmapped": {"salesforce": frozenset({"territory"})},
    }
    seen = world(settings, records=[{"record_id": "1", "territory": "west"}, {"record_id": "2"}])
    plan = plan_of([{"record_id": "1", "owner": "005A", "territory": "east"}, {"record_id": "2"}], seen)
    (item,) = rows_of(plan.items)
    assert (item["state"], item["action"], item["fields"]) == ("unreadable", "blocked", "owner")


def test_values_the_crm_would_refuse_are_blocked_with_the_reason(
    plan_of: Callable[..., Plan], world: Callable[..., World], rows_of: Callable[[Any], Any]
) -> None:
    settings = {"picklists": {"salesforce": {"territory": frozenset({"west"})}}}
    seen = world(settings, records=[{"record_id": str(i)} for i in range(5)] + [{"record_id": "d", "is_deleted": True}])
    rows = [
        {"record_id": "0", "territory": "east"},
        {"record_id": "1", "territory": "west"},
        {"record_id": "2", "owner": "005GHOST"},
        {"record_id": "3", "parent": "3"},
        {"record_id": "4", "parent": "d"},
    ]
    reasons = {row["record_id"]: row["reason"] for row in rows_of(plan_of(rows, seen).items)}
    assert reasons == {
        "0": "the proposed value is not in this CRM's picklist for territory; add it there or change the rule",
        "1": None,
        "2": "the proposed owner is not a user of this CRM; check the roster",
        "3": "an account cannot be its own parent",
        "4": "the proposed parent is not a live account of this CRM; pull again",
    }


def test_a_team_does_not_block_where_the_policy_says_so(
    plan_of: Callable[..., Plan],
    world: Callable[..., World],
    policies: Callable[..., Policies],
    rows_of: Callable[[Any], Any],
) -> None:
    seen = world(**{**TABLES, "agreed": AGREED})
    plan = plan_of([{"record_id": "team", "owner": "005B"}], seen, policies(block_team=False))
    (item,) = [row for row in rows_of(plan.items) if row["record_id"] == "team"]
    assert item["action"] == "approve"


def test_an_empty_world_gives_an_empty_plan(
    plan_of: Callable[..., Plan], world: Callable[..., World], rows_of: Callable[[Any], Any]
) -> None:
    plan = plan_of([], world())
    assert (rows_of(plan.items), rows_of(plan.changes), rows_of(plan.events), plan.guards) == ([], [], [], ())
    assert plan.counts["records"] == plan.counts["items"] == 0


def test_values_without_kinds_are_wanted_where_there_are_any(
    world: Callable[..., World],
    policies: Callable[..., Policies],
    rows_of: Callable[[Any], list[dict[str, Any]]],
    engine: engines.PolarsEngine,
) -> None:
    key = {"connection": "salesforce", "record_id": "1"}
    says = {"owner": "005A", "territory": "west", "parent": "2"}
    seen = world(records=[{**key, **says}, {"record_id": "2"}], agreed=[{**key, **says}])
    row = {**key, "owner": "005B", "territory": None, "parent": None, "parent__kind": "clear"}
    wanted = engine.table([row], dict.fromkeys(row, TEXT))
    changes = rows_of(build_plan(wanted, seen, policies(), "2026-06-01", engine).changes)
    assert {change["field"]: (change["state"], change["desired_kind"]) for change in changes} == {
        "owner": ("update", "value"),
        "parent": ("clear", "clear"),
    }
