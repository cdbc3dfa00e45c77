"""The calls that a push is going to take, against what the CRM has left of the day and what of it is others'."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from connectors.protocol import CallMeter
from jobs.applying.model import PlanRefused, Work
from jobs.floors import Pushed, push_floor
from mappings.canonical import MANAGED
from mappings.guard_policy import ApiBudget
from store.journal import Values

if TYPE_CHECKING:
    from jobs.applying.session import ApplyRun

_WHOLE = 10_000


def predicted_calls(work: Iterable[Work], *, watched: Collection[str] | None) -> dict[str, int]:
    """About how many calls writing this takes, by connection: the floor of its lanes."""
    fields = MANAGED if watched is None else watched
    found: dict[str, list[Pushed]] = {}
    for one in work:
        found.setdefault(one.connection, []).append(pushed(one.record_id, one.lane, one.before, one.want, fields))
    return {connection: push_floor(connection, items) for connection, items in sorted(found.items())}


def pushed(record_id: str, lane: str, before: Values, want: Values, watched: Collection[str]) -> Pushed:
    """One item as the floors count it."""
    old, new = before.get("owner"), want.get("owner")
    return Pushed(
        record_id=record_id,
        lane=str(lane),
        owner=(old or "", new) if new and old != new else None,
        had_parent="parent" in want and bool(before.get("parent")),
        is_traced=any(name in watched for name in want),
    )


def require_budget(run: ApplyRun, work: Sequence[Work]) -> None:
    """Raise PlanRefused where the calls that the work takes are not ours to make today. Nothing was written."""
    budget = run.deps.budget
    if budget is None:
        return
    for name, calls in predicted_calls(work, watched=run.deps.watched_fields).items():
        why = refusal(name, calls, run.connected(name).target.meter, budget)
        if why:
            raise PlanRefused("budget", f"plan {run.plan.id}: {why}")


def refusal(name: str, calls: int, meter: CallMeter, budget: ApiBudget) -> str:
    """Why a push of so many calls is not begun; "" where it may be, or where the CRM did not say what is left."""
    limit, left = meter.day_limit, meter.day_left
    most, reserve = limit * budget.apply_bp // _WHOLE, reserve_of(limit, budget)
    if not limit or not calls:
        return ""
    figures = f"{name}: about {calls:,} calls; {left:,} of the day's {limit:,} are left"
    if left - calls < reserve:
        return (
            f"{figures}, and {reserve:,} of them are others' (api_budget.reserve_bp in guards.yaml). Apply when the "
            "window has moved on, or approve less at a time"
        )
    if calls > most:
        words = f"one apply takes {most:,} at most (api_budget.apply_bp in guards.yaml). Approve less at a time"
        return f"{figures}, and {words}"
    return ""


def below_reserve(meters: Mapping[str, CallMeter], budget: ApiBudget) -> Iterator[str]:
    """Of each connection whose calls of the day are down to the others' share: why the run ends."""
    for name, meter in sorted(meters.items()):
        reserve = reserve_of(meter.day_limit, budget)
        if meter.day_limit and meter.day_left < reserve:
            yield (
                f"{name}: {meter.day_left:,} calls of the day's {meter.day_limit:,} are left, and {reserve:,} are "
                "others' (api_budget.reserve_bp in guards.yaml); run the same plan again later"
            )


def reserve_of(limit: int, budget: ApiBudget) -> int:
    """Calls of a day that are left to others."""
    return limit * budget.reserve_bp // _WHOLE


def planned_calls(
    items: Iterable[Mapping[str, Any]], changes: Iterable[Mapping[str, Any]], *, watched: Collection[str]
) -> dict[str, int]:
    """About how many calls these plan items would take, by connection, were all of them written."""
    wanted: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    for change in changes:
        before, want = wanted.setdefault(change["item_id"], ({}, {}))
        before[change["field"]], want[change["field"]] = change["crm"], change["desired"]
    found: dict[str, list[Pushed]] = {}
    for item in items:
        before, want = wanted.get(item["item_id"], ({}, {}))
        found.setdefault(item["connection"], []).append(pushed(item["record_id"], item["lane"], before, want, watched))
    return {connection: push_floor(connection, listed) for connection, listed in sorted(found.items())}
