"""What must be true after a drill, read from the CRM's history and the audit alone."""

from __future__ import annotations

from collections import Counter
from typing import Any

from store import audit
from store.agreed import Agreed
from store.events import OwnerEvents
from store.outbox import Outbox
from store.plans import Plans
from tests.drills.crm import HUMAN, READ, CrmFile
from tests.drills.world import FIELD, RECIPIENTS, Place, values

DONE = {"verified", "converged"}
TERMINAL = {*DONE, "stale", "gone", "overwrote"}


def judge(place: Place, plan_id: str) -> Counter[str]:
    """Assert every invariant; how the items ended."""
    database, crm = place.database(), place.crm()
    try:
        history = crm.history()
        outcomes = Plans(database, place.files()).outcomes(plan_id)
        items = Plans(database, place.files()).load(plan_id).items.to_pylist()
        with database.read() as conn:
            entries = list(audit.entries(conn, plan_id=plan_id))
        assert audit.verify(database).is_intact
        _nothing_lost(items, outcomes)
        _written_where_nobody_was(crm, items, outcomes, history)
        _once(history)
        _never_sent_unread(crm.touches())
        _nobody_overwritten(history, entries)
        _audit_is_history(history, entries)
        _epochs_in_order(history)
        _agreed_is_verified(place, database, items, outcomes)
        _mails_tell_what_happened(database, plan_id, history)
        return Counter(outcome.state for outcome in outcomes.values())
    finally:
        database.close()
        crm.close()


def _ours(history: list[Any]) -> list[Any]:
    return [row for row in history if row[6] != HUMAN]


def _nothing_lost(items: list[dict[str, Any]], outcomes: dict[str, Any]) -> None:
    states = {item["item_id"]: outcomes[item["item_id"]].state for item in items}
    assert set(states.values()) <= TERMINAL, states


def _written_where_nobody_was(
    crm: CrmFile, items: list[dict[str, Any]], outcomes: dict[str, Any], history: list[Any]
) -> None:
    """What no person changed is as the plan wants it: nothing is given up on the way."""
    edited = {(row[1], row[2]) for row in history if row[6] == HUMAN}
    for item in items:
        system, record = item["connection"], item["record_id"]
        if (system, record) in edited:
            continue
        found = crm.get(system, record)
        assert found is not None
        assert found[0][FIELD[system]] == values(system, int(record.split("-")[1]))[1], (record, found)
        assert outcomes[item["item_id"]].state in DONE, (record, outcomes[item["item_id"]])


def _never_sent_unread(touches: list[tuple[str, str, str]]) -> None:
    """Between two writes of a record there is a reading of it, and before the first."""
    known: set[tuple[str, str]] = set()
    for system, record, kind in touches:
        if kind == READ:
            known.add((system, record))
        else:
            assert (system, record) in known, f"{system} {record} was sent unread"
            known.discard((system, record))


def _once(history: list[Any]) -> None:
    transitions = Counter((system, record, field) for _, system, record, field, _, _, _ in _ours(history))
    assert not [key for key, count in transitions.items() if count > 1]


def _nobody_overwritten(history: list[Any], entries: list[dict[str, Any]]) -> None:
    """On the conditional lane never; without a precondition never undetected."""
    told = {(e["body"]["record_id"], f, v) for e in entries for f, v in e["body"].get("overwrote", {}).items()}
    for _, system, record, field, old, _, _ in _ours(history):
        before = values(system, int(record.split("-")[1]))[0]
        if old != before:
            assert system == "hubspot"
            assert (record, field, old) in told
    assert len(told) <= sum(row[6] == HUMAN for row in history)


def _audit_is_history(history: list[Any], entries: list[dict[str, Any]]) -> None:
    written = Counter((system, record, field, new) for _, system, record, field, _, new, _ in _ours(history))
    audited = Counter(
        (e["body"]["connection"], e["body"]["record_id"], field, new)
        for e in entries
        if e["kind"] == "applied" and e["body"]["how"] != "converged"
        for field, (_, new) in e["body"]["fields"].items()
    )
    assert audited == written


def _epochs_in_order(history: list[Any]) -> None:
    for system in FIELD:
        epochs = [int(row[6].split("/")[1]) for row in _ours(history) if row[1] == system]
        assert epochs == sorted(epochs)


def _agreed_is_verified(place: Place, database: Any, items: list[dict[str, Any]], outcomes: dict[str, Any]) -> None:
    agreed = {(row["connection"], row["record_id"]): row for row in Agreed(database, place.files()).table().to_pylist()}
    for item in items:
        key = item["connection"], item["record_id"]
        is_done = outcomes[item["item_id"]].state in ("verified", "converged", "overwrote")
        assert (key in agreed) == is_done
        if is_done:
            wanted = values(item["connection"], int(item["record_id"].split("-")[1]))[1]
            assert agreed[key][FIELD[item["connection"]]] == wanted


def _mails_tell_what_happened(database: Any, plan_id: str, history: list[Any]) -> None:
    changed = Counter((record, new) for _, _, record, field, _, new, _ in _ours(history) if field == "owner")
    events = OwnerEvents(database).of_plan(plan_id)
    assert Counter((event["record_id"], event["to_user"]) for event in events) == changed
    parts = {event["digest_part"] for event in events}
    mails = Counter((mail.recipient, mail.part) for mail in Outbox(database).list(plan_id=plan_id))
    assert mails == Counter((recipient, part) for recipient in RECIPIENTS for part in parts)
