from __future__ import annotations

from typing import Any

import pytest

from sync.planning.explain import Fact, explain, facts
from sync.planning.threeway import Action, State

ROW: dict[str, Any] = {
    "connection": "salesforce",
    "record_id": "001A",
    "account_name": "St. Vincent Evansville",
    "field": "owner",
    "base_kind": "value",
    "base": "005M",
    "crm_kind": "value",
    "crm": "005K",
    "desired_kind": "value",
    "desired": "005P",
    "state": "conflict",
    "action": "review",
    "rule_id": "owner.state_primary",
    "evidence": '{"state":{"is":"IN","from":"definitive:day2.csv:row 12"},"role":"PRIMARY"}',
    "reason": None,
    "actor_kind": "human",
    "actor": "005K",
    "changed_at": "2026-05-19T14:02:00.000Z",
}
NAMES = {"005M": "Maria Lopez", "005K": "Ken Abe", "005P": "Priya Shah"}


def test_a_conflict_is_told_with_values_actor_rule_facts_sources_and_what_happens_next() -> None:
    assert explain(ROW, NAMES) == (
        'owner of St. Vincent Evansville (salesforce): last agreed "Maria Lopez"; in the CRM now "Ken Abe"; '
        'proposed "Priya Shah".',
        "The CRM's value was set by Ken Abe (human) at 2026-05-19T14:02:00.000Z.",
        "The CRM and the proposal both moved away from the agreed value, to different values.",
        "Rule owner.state_primary: state is IN [definitive:day2.csv:row 12]; role is PRIMARY.",
        "A person chooses between the values.",
    )


def test_without_history_the_last_editor_is_not_called_the_author() -> None:
    sentences = explain({**ROW, "actor_kind": "unknown"}, NAMES)
    assert "The CRM has no history for this field; the record was last edited by Ken Abe at" in sentences[1]


def test_kinds_without_a_value_are_words_and_reasons_are_given() -> None:
    row = {**ROW, "base_kind": "nobase", "base": None, "crm_kind": "hidden", "crm": None, "desired_kind": "clear"}
    blocked = {**row, "state": "unreadable", "action": "blocked", "reason": "grant read access", "rule_id": None}
    sentences = explain(blocked)
    assert sentences[0].endswith("last agreed (never agreed); in the CRM now (not readable); proposed (empty).")
    assert sentences[-1] == "It is not written. Reason: grant read access."
    assert len(sentences) == 3


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("action", list(Action))
def test_every_state_and_action_has_words(state: State, action: Action) -> None:
    assert len(explain({**ROW, "state": state.value, "action": action.value})) == 5


def test_evidence_that_is_no_object_is_shown_as_it_is() -> None:
    assert facts("by hand") == (Fact(name="evidence", value="by hand", source=""),)
    assert facts('["x"]') == (Fact(name="evidence", value='["x"]', source=""),)
    assert facts(None) == ()
    assert facts('{"beds":{"is":25,"from":null},"n":null}') == (
        Fact(name="beds", value="25", source=""),
        Fact(name="n", value="", source=""),
    )


def test_a_source_of_the_whole_is_the_source_of_each_fact_and_remarks_read_as_words() -> None:
    evidence = '{"parent":"Trinity","basis":"idn","from":"definitive:day2.csv:row 9","note":"","because":"it owns it"}'
    assert facts(evidence)[:2] == (
        Fact(name="parent", value="Trinity", source="definitive:day2.csv:row 9"),
        Fact(name="basis", value="idn", source="definitive:day2.csv:row 9"),
    )
    assert (
        "Rule owner.state_primary: parent is Trinity [definitive:day2.csv:row 9]; "
        "basis is idn [definitive:day2.csv:row 9]; because it owns it."
    ) in explain({**ROW, "evidence": evidence})
