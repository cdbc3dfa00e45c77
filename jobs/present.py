"""A stored plan as people read it: ids resolved to names, decisions and results beside each item."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs.applying.permission import proposes_new_rules
from jobs.applying.second_person import terms_of
from jobs.wiring import Wired
from mappings.canonical import MANAGED
from store.decisions import Decision
from store.plans import Outcome, StoredPlan
from sync.planning.approvals import OverrideTerms
from sync.planning.cascade import Along
from sync.planning.threeway import Action

ROW_FIELDS = (
    "item", "connection", "record", "account", "name", "group", "fields", "kept", "state", "action", "reason",
    "base", "crm", "desired", "actor", "actor_kind", "owner_from", "owner_to", "decision", "decided_by", "result",
)  # fmt: skip
"""Columns of a row, and the words a `--where` selector may use."""

DECIDABLE = ("approve", "review")
"""Actions that wait for a person."""

_REFERENCES = {"owner": "user", "parent": "record"}
_ORDER = {name: place for place, name in enumerate(MANAGED)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What ids are called. An id that nobody knows is shown as it is."""

    users: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict)  # (name, e-mail)
    records: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def value(self, connection: str, name: str, value: str | None) -> str:
        """A canonical value for people: "" when empty."""
        if value is None:
            return ""
        kind = _REFERENCES.get(name)
        if kind == "user":
            return self.users.get((connection, value), (value, ""))[0] or value
        if kind == "record":
            return self.records.get((connection, value), value)
        return value

    def email(self, connection: str, user_id: str | None) -> str:
        """E-mail of a user id; the id where unknown."""
        return "" if user_id is None else self.users.get((connection, user_id), ("", user_id))[1] or user_id


def load_names(wired: Wired, connections: Iterable[str], *, records: bool = True) -> Names:
    """Names from the newest snapshots."""
    users: dict[tuple[str, str], tuple[str, str]] = {}
    records_called: dict[tuple[str, str], str] = {}
    for connection in connections:
        found = wired.snapshots.current(connection, "user")
        if found is not None:
            for row in wired.snapshots.read(found).to_pylist():
                called = row["name"] or row["email"] or "", row["email"] or ""
                users |= {(connection, id_): called for id_ in (row["actor_id"], row["user_id"]) if id_}
        found = wired.snapshots.current(connection, "account") if records else None
        if found is not None:
            table = wired.snapshots.read(found)
            ids, names = table["record_id"].to_pylist(), table["name"].to_pylist()
            records_called |= {
                (connection, record_id): name or record_id for record_id, name in zip(ids, names, strict=True)
            }
    return Names(users=users, records=records_called)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanView:
    """A plan with everything a person may ask about its items."""

    stored: StoredPlan
    names: Names
    changes: Mapping[str, Sequence[Mapping[str, Any]]]  # item id -> its changes, in display order
    decisions: Mapping[str, Decision]  # fingerprint -> newest verdict
    outcomes: Mapping[str, Outcome]  # item id -> what became of it
    override: OverrideTerms  # who may let its passed limits through
    new_rules: bool  # other rules than the last applied plan's, and the policy has such plans proposed only
    along: Mapping[str, Along] = field(default_factory=dict)  # item id -> what its owner change touches
    calls: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # connection -> figures of jobs.calls

    def rows(self) -> list[dict[str, Any]]:
        """One row per item in the plan's order: the fields of ROW_FIELDS, its fingerprint, its `values` by field."""
        return [self._row(item) for item in self.stored.items.sort_by("sequence").to_pylist()]

    def _row(self, item: Mapping[str, Any]) -> dict[str, Any]:
        changes = self.changes.get(item["item_id"], ())
        connection = item["connection"]
        owner = next((one for one in changes if one["field"] == "owner"), None)
        decision, outcome = self.decisions.get(item["fingerprint"]), self.outcomes.get(item["item_id"])
        lead = owner or next(iter(changes), None)
        return {
            "item": item["item_id"],
            "fingerprint": item["fingerprint"],
            "connection": connection,
            "record": item["record_id"],
            "account": item["account_id"],
            "name": item["account_name"],
            "group": item["group"],
            "fields": item["fields"],
            "kept": ",".join(one["field"] for one in changes if one["action"] == Action.OVERRIDDEN),
            "state": item["state"],
            "action": item["action"],
            "reason": item["reason"] or "",
            "base": self._side(changes, "base", "base_kind"),
            "crm": self._side(changes, "crm", "crm_kind"),
            "desired": self._side(changes, "desired", "desired_kind"),
            "actor": self._actor(lead),
            "actor_kind": (lead or {}).get("actor_kind") or "",
            "owner_from": self.names.email(connection, owner["crm"]) if owner else "",
            "owner_to": self.names.email(connection, owner["desired"]) if owner else "",
            "decision": decision.verdict.value if decision else "",
            "decided_by": decision.by if decision else "",
            "decided_at": decision.at if decision else "",
            "result": outcome.state if outcome else "",
            "values": [self._values(one) for one in changes],
            "cascade": self.along[item["item_id"]].as_dict() if item["item_id"] in self.along else None,
        }

    def _values(self, change: Mapping[str, Any]) -> dict[str, str]:
        """One field of an item: its name and the three values."""
        sides = {side: self.side_value(change, side, f"{side}_kind") for side in ("base", "crm", "desired")}
        return {"field": change["field"], **sides, "action": change["action"]}

    def _side(self, changes: Sequence[Mapping[str, Any]], side: str, kind: str) -> str:
        """The values of one side, field by field; a single field needs no name before it."""
        shown = [(one["field"], self.side_value(one, side, kind)) for one in changes]
        if len(shown) == 1:
            return shown[0][1]
        return "; ".join(f"{name}: {value}" for name, value in shown)

    def side_value(self, change: Mapping[str, Any], side: str, kind: str) -> str:
        """One value for people, or the word for what stands in its place."""
        if change[kind] in _KIND_WORDS:
            return _KIND_WORDS[change[kind]]
        return self.names.value(change["connection"], change["field"], change[side])

    def _actor(self, change: Mapping[str, Any] | None) -> str:
        if change is None or not change["actor"]:
            return ""
        who = self.names.users.get((change["connection"], change["actor"]), (change["actor"], ""))[0]
        if change["actor_kind"] == "unknown":  # the field itself has no history
            who = f"{who} (last editor of the record)"
        return f"{who}, {change['changed_at'][:16].replace('T', ' ')}" if change["changed_at"] else who


_KIND_WORDS = {
    "empty": "(empty)",
    "nobase": "(never agreed)",
    "released": "(released)",
    "gone": "(record gone)",
    "hidden": "(not readable)",
    "clear": "(clear)",
    "abstain": "(no opinion)",
}


def view_plan(wired: Wired, plan_id: str) -> PlanView:
    """The plan with names, decisions and results."""
    stored = wired.plans.load(plan_id)
    changes: dict[str, list[dict[str, Any]]] = {}
    for row in stored.changes.to_pylist():
        if row["item_id"] is not None:
            changes.setdefault(row["item_id"], []).append(row)
    for rows in changes.values():
        rows.sort(key=lambda row: _ORDER.get(row["field"], len(_ORDER)))
    fingerprints = stored.items["fingerprint"].to_pylist()
    return PlanView(
        stored=stored,
        names=load_names(wired, sorted(stored.header.org_ids)),
        changes=changes,
        decisions=wired.decisions.of_plan(plan_id, fingerprints),
        outcomes=wired.plans.outcomes(plan_id),
        new_rules=proposes_new_rules(wired.database, wired.mappings.policies.conflicts, stored),
        override=terms_of(wired.database, wired.mappings.policies.conflicts, stored.header),
    )


def owner_moves(rows: Iterable[Mapping[str, Any]], view: PlanView) -> list[tuple[str, str, int]]:
    """(from, to, accounts) of the owner changes among the rows, the largest first."""
    moves: dict[tuple[str, str], int] = {}
    for row in rows:
        for change in view.changes.get(row["item"], ()):
            if change["field"] == "owner" and change["desired_kind"] == "value":
                connection = row["connection"]
                pair = tuple(view.names.value(connection, "owner", change[side]) for side in ("crm", "desired"))
                moves[pair[0], pair[1]] = moves.get((pair[0], pair[1]), 0) + 1
    return sorted(((*pair, count) for pair, count in moves.items()), key=lambda move: (-move[2], move[0], move[1]))
