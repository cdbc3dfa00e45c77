"""Property history: which fields are asked for, and whose hand it says was there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from connectors.hubspot.target import HistoryEntry, HubSpotTarget
from connectors.protocol import Source
from jobs.history import history_rows
from jobs.wiring import Connection
from mappings.load import load


class Remembering(HubSpotTarget):
    """A target that answers from memory and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: tuple[str, ...] = ()

    def history(self, record_ids: Sequence[str], properties: Sequence[str]) -> Mapping[str, tuple[HistoryEntry, ...]]:
        self.asked = tuple(properties)
        typed = {"property": "phone", "value": "785 623 5000", "timestamp": "2026-01-02T03:04:05.000Z"}
        return {
            one: (HistoryEntry(record_id=one, source_type="CRM_UI", source_id="", user="77", **typed),)
            for one in record_ids
        }


def test_the_history_of_protected_fields_is_asked_for_beside_the_managed_ones() -> None:
    mappings, target = load(), Remembering()
    own: dict[str, Any] = {"id": "hubspot", "kind": "hubspot", "map": mappings.crms["hubspot"]}
    connection = Connection(**own, target=target, source=cast(Source, None))
    protected = mappings.policies.survivorship.protected
    rows = history_rows(connection, ["1"], our_user="", protected=protected)
    assert {"hubspot_owner_id", "name", "phone", "address", "numberofemployees"} <= set(target.asked)
    assert "description" not in target.asked
    assert [(row["field"], row["actor_kind"], row["changed_by"]) for row in rows] == [("phone", "human", "77")]
    history_rows(connection, ["1"], our_user="")
    assert "phone" not in target.asked
