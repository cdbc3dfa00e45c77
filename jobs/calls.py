"""What a plan would cost in calls, beside what the CRMs had left of the day when they were pulled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.applying.budget import planned_calls, reserve_of
from jobs.applying.wired import watched_fields
from jobs.present import PlanView
from jobs.wiring import Wired
from sync.planning.groups import WRITABLE


def predicted(wired: Wired, view: PlanView) -> dict[str, dict[str, Any]]:
    """By connection: `calls` were all of it written, and the day's `limit`, `left` and `reserve`; 0 = not known."""
    items = [one for one in view.stored.items.to_pylist() if one["action"] in WRITABLE]
    changes = [change for item in items for change in view.changes.get(item["item_id"], ())]
    policies = wired.mappings.policies
    calls = planned_calls(items, changes, watched=watched_fields(policies.conflicts))
    found = {}
    for connection, count in calls.items():
        pulled = wired.snapshots.current(connection, "account")
        day = pulled.meta.get("day", {}) if pulled is not None else {}
        limit, left = day.get("limit", 0), day.get("left", 0)
        reserve = reserve_of(limit, policies.guards.api_budget)
        found[connection] = {"calls": count, "limit": limit, "left": left, "reserve": reserve}
    return found


def call_lines(figures: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line per connection for people."""
    lines = []
    for connection, one in figures.items():
        rest = "how many the day has is not known"
        if one["limit"]:
            rest = f"{one['left']:,} of the day's {one['limit']:,} left at the last pull"
        over = one["limit"] and one["left"] - one["calls"] < one["reserve"]
        end = f"; {one['reserve']:,} are others': apply would refuse all of it at once" if over else ""
        lines.append(f"{connection}: about {one['calls']:,} calls, {rest}{end}")
    return lines
