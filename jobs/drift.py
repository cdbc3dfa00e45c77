"""The drift report: what moved in the CRMs since it was agreed, by whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from jobs.present import load_names
from jobs.wiring import Wired
from jobs.world import load_world
from sync.planning.drifted import drifted

ROW_FIELDS = (
    "connection", "record", "name", "field", "agreed", "crm", "actor_kind", "actor", "changed_at",
)  # fmt: skip
"""Columns of a row, and the words a `--where` selector may use."""

NOBODY_KNOWN = "unknown"


def drift_rows(wired: Wired) -> list[dict[str, Any]]:
    """One row per field that is not as agreed, as the newest pull shows it, with people's names. Read-only."""
    world = load_world(wired, wired.as_of()).world
    names = load_names(wired, wired.kinds)
    found = []
    for row in wired.engine.rows(drifted(world, wired.engine)):
        connection, field = row["connection"], row["field"]
        who = row["actor"] if row["actor_kind"] != "unknown" else None
        found.append(
            {
                "connection": connection,
                "record": row["record_id"],
                "name": row["name"] or row["record_id"],
                "field": field,
                "agreed": names.value(connection, field, row["agreed"]),
                "crm": names.value(connection, field, row["crm"]),
                "actor_kind": row["actor_kind"],
                "actor": names.users.get((connection, who), (who, ""))[0] if who else NOBODY_KNOWN,
                "changed_at": row["changed_at"] or "",
            }
        )
    return found


def written_since_pull(wired: Wired) -> bool:
    """True where a run wrote after the newest pull: what it wrote is agreed, and the pull does not show it yet."""
    pulled = [found.taken_at for kind in wired.kinds if (found := wired.snapshots.current(kind, "account"))]
    wrote = next((one for one in wired.runs.list(kind="apply") if one.counts), None)
    return bool(pulled) and wrote is not None and (wrote.finished_at or wrote.started_at) > min(pulled)


def by_actor(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Per connection and actor: values, accounts, fields and the newest change; the busiest first."""
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["connection"], row["actor_kind"], row["actor"]].append(row)
    told = [
        {
            "connection": connection,
            "actor_kind": kind,
            "actor": actor,
            "values": len(listed),
            "accounts": len({row["record"] for row in listed}),
            "fields": sorted({row["field"] for row in listed}),
            "newest": max(row["changed_at"] for row in listed),
        }
        for (connection, kind, actor), listed in groups.items()
    ]
    return sorted(told, key=lambda one: (-one["values"], one["connection"], one["actor_kind"], one["actor"]))
