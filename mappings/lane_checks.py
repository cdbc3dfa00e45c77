"""How pushed fields travel must fit what their conflict policy promises."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from mappings.located import Document, MappingProblem
from mappings.policy import ConflictPolicy
from mappings.schema import CrmMap, FieldMap


def check_lanes(document: Document, crm: CrmMap, conflicts: ConflictPolicy) -> Iterator[MappingProblem]:
    """Unconditional writes only where Platbook may win, and one lane per group."""
    if "account" not in crm.objects:
        return
    pushed = {name: f for name, f in crm.objects["account"].fields.items() if f.push and name in conflicts.fields}
    for name, field_map in pushed.items():
        if crm.kind == "salesforce" and field_map.lane == "batch" and not conflicts.fields[name].always_wins:
            fact = (
                f"{name} has lane batch, which overwrites without looking, but conflicts.yaml does not say "
                "`on_drift: enforce` and `on_conflict: ours` for it; use lane conditional"
            )
            yield document.problem(("objects", "account", "fields", name), fact)
    yield from _check_groups(document, pushed, conflicts)


def _check_groups(
    document: Document, pushed: dict[str, FieldMap], conflicts: ConflictPolicy
) -> Iterator[MappingProblem]:
    lanes: dict[str, dict[str, str]] = defaultdict(dict)
    for name, field_map in pushed.items():
        lanes[conflicts.fields[name].group or name][name] = field_map.lane
    for group, members in lanes.items():
        if len(set(members.values())) > 1:
            told = ", ".join(f"{name} {lane}" for name, lane in members.items())
            fact = f"fields of group {group!r} are written together but have different lanes: {told}"
            yield document.problem(("objects", "account", "fields", next(iter(members))), fact)
