"""The rows of a diff log: every change of a plan with names, the decision on it, and what became of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jobs.present import PlanView, view_plan
from jobs.report import write_diff_log
from jobs.wiring import Wired
from store.database import StoreError


def require_folder(wired: Wired) -> None:
    """Raise StoreError unless logs can be written: asked before anything is written to a CRM, not after."""
    folder = wired.settings.report_dir
    why = ""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        why = exc.strerror or str(exc)
    if why or not os.access(folder, os.W_OK | os.X_OK):
        fact = f"it cannot be written ({why or 'Permission denied'}), so there would be no diff log; nothing was done"
        raise StoreError(f"report folder {folder}", fact, "Make it writable, or set PLATBOOK_REPORT_DIR")


def log_plan(wired: Wired, plan_id: str, *, run_id: str = "") -> dict[str, Path]:
    """Write the log of a plan, or of the run that applied it; paths by csv, xlsx, json."""
    view = view_plan(wired, plan_id)
    return write_diff_log(diff_rows(view), wired.settings.report_dir, run_id or plan_id)


def diff_rows(view: PlanView) -> Iterator[dict[str, Any]]:
    """One row per change of an item, in the plan's order, values as people read them."""
    for item in view.stored.items.sort_by("sequence").to_pylist():
        decision, outcome = view.decisions.get(item["fingerprint"]), view.outcomes.get(item["item_id"])
        beside: dict[str, Any] = {
            "decision": decision.verdict.value if decision else None,
            "decided_by": decision.by if decision else None,
            "decided_at": decision.at if decision else None,
            "result": outcome.state if outcome else None,
            "message": outcome.message if outcome else None,
        }
        for change in view.changes.get(item["item_id"], ()):
            yield {**_named(view, change), "reason": change["reason"] or item["reason"], **beside}


def _named(view: PlanView, change: Mapping[str, Any]) -> dict[str, Any]:
    """The change with ids of users and records replaced by `name (id)`."""
    shown = dict(change)
    for side in ("base", "crm", "desired"):
        value = change[side]
        name = view.names.value(change["connection"], change["field"], value)
        if value is not None:
            shown[side] = value if name == value else f"{name} ({value})"
    actor = change["actor"]
    shown["actor"] = view.names.users.get((change["connection"], actor), (actor, ""))[0] if actor else None
    return shown
