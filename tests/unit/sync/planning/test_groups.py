from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from mappings.policy import FieldPolicy, Policies
from sync.planning.fingerprint import canonical_lines, digest_of
from sync.world import Plan, World

Rows = list[dict[str, Any]]


@pytest.fixture
def items_of(
    plan_of: Callable[..., Plan], world: Callable[..., World], rows_of: Callable[[Any], Rows]
) -> Callable[..., Rows]:
    """Items of one record, by its CRM values, agreed values and wishes."""

    def make(
        crm: dict[str, Any], agreed: dict[str, Any], wanted: dict[str, Any], rules: Policies | None = None, **more: Any
    ) -> Rows:
        settings = more.pop("settings", None)
        connection = {"connection": more.pop("connection", "salesforce"), "record_id": "1"}
        tables = {"records": [{**connection, **crm}], "agreed": [{**connection, **agreed}], **more}
        plan = plan_of([{**connection, **wanted}], world(settings, **tables), rules)
        return rows_of(plan.items.sort("sequence"))

    return make


def test_one_field_in_conflict_makes_the_whole_group_ask(items_of: Callable[..., Rows]) -> None:
    (item,) = items_of(
        {"owner": "005C", "territory": "west"},
        {"owner": "005A", "territory": "west"},
        {"owner": "005B", "territory": "east"},
    )
    assert (item["state"], item["action"], item["fields"]) == ("conflict", "review", "owner,territory")


def test_a_field_that_may_overwrite_does_not_carry_a_field_that_may_not(
    items_of: Callable[..., Rows], policies: Callable[..., Policies]
) -> None:
    ours = FieldPolicy(group="ownership", on_update="auto", on_conflict="ours")
    (item,) = items_of(
        {"owner": "005A", "territory": "north"},
        {"owner": "005A", "territory": "west"},
        {"owner": "005B", "territory": "east"},
        policies({"territory": ours}),
    )
    assert (item["state"], item["action"]) == ("conflict", "approve")


def test_a_blocked_field_blocks_its_group_with_its_reason(items_of: Callable[..., Rows]) -> None:
    (item,) = items_of(
        {"owner": "005A", "territory": "west"},
        {"owner": "005A", "territory": "west"},
        {"owner": "005X", "territory": "east"},
    )
    assert (item["state"], item["action"]) == ("invalid", "blocked")
    assert item["reason"] == "the proposed owner is inactive in this CRM; name a successor"


REFUSED = {"record_id": "1", "field": "owner", "kept": "005A", "refused": "005B", "by": "mia", "reason": "hers"}


def test_a_group_asks_again_when_another_field_of_it_is_proposed_anew(
    items_of: Callable[..., Rows], policies: Callable[..., Policies]
) -> None:
    values = {"owner": "005A", "territory": "west"}
    automatic = policies({name: FieldPolicy(group="ownership", on_update="auto") for name in values})
    wish = {"owner": "005B", "territory": "west"}
    (quiet,) = items_of(values, values, wish, automatic, overrides=[REFUSED])
    (asked,) = items_of(values, values, {**wish, "territory": "east"}, automatic, overrides=[REFUSED])
    assert (quiet["state"], quiet["action"]) == ("overridden", "overridden")
    assert (asked["state"], asked["action"], asked["fields"]) == ("override_lapsed", "review", "owner,territory")
    assert asked["reason"] == "kept by mia: hers"


def test_a_group_that_is_blocked_or_held_does_not_ask_again(items_of: Callable[..., Rows]) -> None:
    values = {"owner": "005A", "owner_role": "GEO", "territory": "west"}
    wish = {"owner": "005B", "territory": "east"}
    hold = {"record_id": "1", "group": "ownership", "kind": "lock", "reason": "merger", "by": "mia"}
    (held,) = items_of(values, values, wish, overrides=[REFUSED], holds=[hold])
    assert held["action"] == "held"
    kept_role = {**REFUSED, "field": "owner_role", "kept": "GEO", "refused": "PRIMARY"}
    (blocked,) = items_of(values, values, {"owner": "005X", "owner_role": "PRIMARY"}, overrides=[kept_role])
    assert (blocked["state"], blocked["action"]) == ("invalid", "blocked")


def test_a_conflict_beside_a_refusal_is_shown_as_the_conflict(items_of: Callable[..., Rows]) -> None:
    values = {"owner": "005A", "territory": "west"}
    (item,) = items_of(
        {**values, "territory": "north"}, values, {"owner": "005B", "territory": "east"}, overrides=[REFUSED]
    )
    assert (item["state"], item["action"]) == ("conflict", "review")


def test_a_group_in_which_the_policy_adopts_a_field_is_not_written_without_asking(
    items_of: Callable[..., Rows], policies: Callable[..., Policies]
) -> None:
    rules = policies(
        {
            "owner": FieldPolicy(group="ownership", on_update="auto"),
            "territory": FieldPolicy(group="ownership", on_drift="adopt"),
        }
    )
    (item,) = items_of(
        {"owner": "005A", "territory": "north"},
        {"owner": "005A", "territory": "west"},
        {"owner": "005B", "territory": "west"},
        rules,
    )
    assert (item["action"], item["fields"]) == ("review", "owner")


def test_a_hold_on_every_group_and_a_hold_that_ended_yesterday(items_of: Callable[..., Rows]) -> None:
    values = {"owner": "005A", "territory": "west"}
    hold = {"record_id": "1", "kind": "lock", "reason": "merger", "by": "mia"}
    (held,) = items_of(values, values, {"owner": "005B"}, holds=[{**hold, "group": "*", "until": "2026-06-01"}])
    (free,) = items_of(values, values, {"owner": "005B"}, holds=[{**hold, "group": "*", "until": "2026-05-31"}])
    assert (held["action"], held["reason"]) == ("held", "lock: merger, by mia, until 2026-06-01")
    assert free["action"] == "approve"


def test_groups_of_one_record_are_items_of_their_own(items_of: Callable[..., Rows]) -> None:
    values = {"owner": "005A", "account_tier": "T1", "rescore_flag": "true"}
    items = items_of(values, values, {"owner": "005B", "account_tier": "T2", "rescore_flag": "false"})
    assert [item["group"] for item in items] == ["ownership", "rescore", "segmentation"]
    assert len({item["item_id"] for item in items}) == 3


def test_an_item_takes_the_most_careful_lane_of_its_fields(items_of: Callable[..., Rows]) -> None:
    lanes = {"salesforce": {"account_tier": "batch", "tier_status": "conditional", "health_system": "batch"}}
    values = {"account_tier": "T1", "tier_status": "CONFIRMED", "health_system": "A"}
    wishes = {"account_tier": "T2", "tier_status": "PROVISIONAL", "health_system": "B"}
    items = items_of(values, values, wishes, settings={"lanes": lanes})
    assert {item["group"]: item["lane"] for item in items} == {"segmentation": "conditional", "system": "batch"}


BASE: dict[str, Any] = {"owner": "005A", "territory": "west"}
WISH: dict[str, Any] = {"owner": "005B", "territory": "west"}


@pytest.mark.parametrize(
    ("crm", "agreed", "wish"),
    [
        ({**BASE, "owner": "005C"}, BASE, WISH),  # the CRM moved
        (BASE, {**BASE, "owner": "005C"}, WISH),  # something else was agreed
        (BASE, BASE, {**WISH, "owner": "005C"}),  # another proposal
        (BASE, BASE, {**WISH, "territory": "east"}),  # another field of the group
        ({**BASE, "territory": None}, {**BASE, "territory": None}, {**WISH, "territory": "x"}),
    ],
)
def test_a_fingerprint_changes_with_any_value_of_its_group(
    items_of: Callable[..., Rows], crm: dict[str, Any], agreed: dict[str, Any], wish: dict[str, Any]
) -> None:
    (before,) = items_of(BASE, BASE, WISH)
    (after,) = items_of(crm, agreed, wish)
    assert before["fingerprint"] != after["fingerprint"]
    assert after["item_id"] == after["fingerprint"][:16]


def test_a_fingerprint_outlives_a_reworded_rule_and_changes_elsewhere(
    items_of: Callable[..., Rows], policies: Callable[..., Policies]
) -> None:
    (before,) = items_of(BASE, BASE, WISH)
    (after,) = items_of(
        {**BASE, "name": "Renamed"},
        BASE,
        {**WISH, "owner__rule": "other-words", "owner__evidence": "{}"},
        policies({"owner": FieldPolicy(group="ownership", on_update="auto")}),
    )
    assert before["fingerprint"] == after["fingerprint"]
    assert (before["action"], after["action"]) == ("approve", "auto")


def test_a_fingerprint_names_its_connection(items_of: Callable[..., Rows]) -> None:
    (one,), (other,) = items_of(BASE, BASE, WISH), items_of(BASE, BASE, WISH, connection="hubspot")
    assert one["fingerprint"] != other["fingerprint"]


def test_a_digest_cannot_be_shifted_between_its_parts() -> None:
    assert len({digest_of(["ab", "c"]), digest_of(["a", "bc"]), digest_of(["abc"]), digest_of(["abc", ""])}) == 4


def test_a_digest_is_the_same_however_the_lines_are_batched() -> None:
    rows = [{"name": "Åsa", "beds": 1}, {"name": None, "beds": 22}, {"name": "", "beds": None}]
    schema = pa.schema({"name": pa.large_string(), "beds": pa.int64()})
    batch = pa.RecordBatch.from_pylist(rows, schema=schema)
    # Characters, not bytes, before a cell; bytes before a line: "3:Åsa1:1" has 9.
    assert digest_of([canonical_lines(batch).column("line")]) == digest_of(["3:Åsa1:1", "~2:22", "0:~"])
    pieces = [canonical_lines(batch.slice(start, 1)).column("line") for start in range(3)]
    assert digest_of(pieces) == digest_of([canonical_lines(batch).column("line")])
