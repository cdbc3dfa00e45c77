"""Holds: who keeps what and until when; made and released for the records that a selector means."""

from __future__ import annotations

from typing import Any

from jobs.export import described_plan, findings_source
from jobs.wiring import Wired
from sync.planning.selectors import parse

RECORD_FIELDS = ("connection", "record", "account", "name", "state", "city", "system", "tier", "territory", "owner")
"""What a selector of records may ask: ids, the account as the newest plan knows it, and the owner's e-mail now."""

HOLD_FIELDS = (*RECORD_FIELDS, "group", "kind", "reason", "by", "made", "until", "released", "status")
"""What a selector of holds may ask besides."""


class HoldError(ValueError):
    """A hold cannot be made or released; says why, and what to do."""


def select_records(wired: Wired, where: str) -> list[dict[str, Any]]:
    """The CRM records that a selector means, sorted by key. Raises SelectorError."""
    wanted = parse(where, RECORD_FIELDS)
    return [row for row in _records(wired) if wanted(row)]


def list_holds(wired: Wired, where: str = "") -> list[dict[str, Any]]:
    """The holds that a selector means, the newest first: every one ever made, with what became of it."""
    wanted = parse(where, HOLD_FIELDS)
    known = {(row["connection"], row["record"]): row for row in _records(wired)}
    today = wired.as_of()
    rows = []
    for one in wired.decisions.every_hold():
        about = known.get((one["connection"], one["record_id"])) or {}
        rows.append(
            {
                **{name: about.get(name, "") for name in RECORD_FIELDS},
                "connection": one["connection"],
                "record": one["record_id"],
                **{name: one[name] or "" for name in ("group", "kind", "reason", "by", "until")},
                "made": one["at"][:10],
                "released": (one["released_at"] or "")[:10],
                "status": _status(one, today),
            }
        )
    return [row for row in rows if wanted(row)]


def add_holds(
    wired: Wired, where: str, *, kind: str, group: str, reason: str, until: str | None
) -> list[dict[str, Any]]:
    """Hold a group of fields of the records that a selector means; the records. Raises HoldError for none."""
    if until is not None and until < wired.as_of():
        raise HoldError(f"--until: {until} is over; a hold stands until the end of its last day")
    groups = hold_groups(wired)
    if group not in groups:
        raise HoldError(f'--group: "{group}" is no group of fields; expected one of {", ".join(groups)}')
    rows = select_records(wired, where)
    if not rows:
        raise HoldError(f"no record is meant by {where}; `platbook export accounts` shows what there is")
    keys = [(row["connection"], row["record"]) for row in rows]
    wired.decisions.hold(keys, group=group, kind=kind, reason=reason, person=wired.person, until=until)
    return rows


def release_holds(wired: Wired, where: str, *, reason: str) -> list[dict[str, Any]]:
    """End the holds in force that a selector means; those ended. Raises HoldError for none."""
    rows = [row for row in list_holds(wired, where) if row["status"] == "in force"]
    if not rows:
        raise HoldError(f"no hold in force is meant by {where}; `platbook holds list` shows them")
    for group in sorted({row["group"] for row in rows}):
        keys = sorted({(row["connection"], row["record"]) for row in rows if row["group"] == group})
        wired.decisions.release(keys, group=group, person=wired.person, reason=reason)
    return rows


def hold_groups(wired: Wired) -> tuple[str, ...]:
    """Groups of fields that can be held; `*` = all of a record."""
    fields = wired.mappings.policies.conflicts.fields
    return ("*", *sorted({field.group or name for name, field in fields.items()}))


def _status(one: dict[str, Any], today: str) -> str:
    if one["released_at"]:
        return "released"
    return "ended" if one["until"] and one["until"] < today else "in force"


def _records(wired: Wired) -> list[dict[str, Any]]:
    """One row per live record of the newest pull, with what the newest plan knows of its account."""
    plan = described_plan(wired) if wired.plans.newest() else None
    about = {name: _by_account(wired, plan, name) for name in ("accounts", "hierarchy", "tiers", "ownership")}
    links = {(row["source"], row["source_id"]): row["account_id"] for row in _finding(wired, plan, "links")}
    rows = []
    for connection in wired.kinds:
        owners = {row["user_id"]: row["email"] for row in _pulled(wired, connection, "user", ("user_id", "email"))}
        columns = ("record_id", "name", "state", "city", "owner", "is_deleted", "merged_into")
        for record in _pulled(wired, connection, "account", columns):
            if record["is_deleted"] or record["merged_into"]:
                continue
            account = links.get((connection, record["record_id"]), "")
            known = {name: table.get(account, {}) for name, table in about.items()}
            rows.append(
                {
                    "connection": connection,
                    "record": record["record_id"],
                    "account": account,
                    "name": record["name"] or "",
                    "state": known["accounts"].get("state") or record["state"] or "",
                    "city": known["accounts"].get("city") or record["city"] or "",
                    "system": known["hierarchy"].get("system_name") or "",
                    "tier": known["tiers"].get("tier") or "",
                    "territory": known["ownership"].get("territory") or "",
                    "owner": owners.get(record["owner"]) or "",
                }
            )
    return sorted(rows, key=lambda row: (row["connection"], row["record"]))


def _by_account(wired: Wired, plan: str | None, name: str) -> dict[str, dict[str, Any]]:
    return {row["account_id"]: row for row in _finding(wired, plan, name)}


_WANTED = {
    "links": ("source", "source_id", "account_id"),
    "accounts": ("account_id", "state", "city"),
    "hierarchy": ("account_id", "system_name"),
    "tiers": ("account_id", "tier"),
    "ownership": ("account_id", "territory"),
}


def _finding(wired: Wired, plan: str | None, name: str) -> list[dict[str, Any]]:
    found = wired.snapshots.current(findings_source(plan), name) if plan else None
    return wired.snapshots.read(found).select(list(_WANTED[name])).to_pylist() if found else []


def _pulled(wired: Wired, connection: str, name: str, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    found = wired.snapshots.current(connection, name)
    if found is None:
        return []
    table = wired.snapshots.read(found)
    present = [column for column in columns if column in table.column_names]
    return [{**dict.fromkeys(columns), **row} for row in table.select(present).to_pylist()]
