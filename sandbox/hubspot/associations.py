"""Who is associated with whom: parents of companies, companies of deals, and plain edges.

The parent of a company is its property hs_parent_company_id and nothing else, so that an edge and the property cannot
disagree. All other edges live in a table of their own, once in each direction.
"""

from __future__ import annotations

from collections.abc import Iterable

from sandbox.hubspot.errors import Refused, invalid
from sandbox.hubspot.schema import SINGULAR
from sandbox.world import World

PARENT_TO_CHILD, CHILD_TO_PARENT, PLAIN = 13, 14, 450
LABELS = {PARENT_TO_CHILD: "Child Company", CHILD_TO_PARENT: "Parent Company", 5: "Primary", 6: "Primary"}
INVERSE = {PARENT_TO_CHILD: CHILD_TO_PARENT, CHILD_TO_PARENT: PARENT_TO_CHILD, PLAIN: PLAIN}
INVERSE |= {5: 6, 6: 5, 341: 342, 342: 341}
ALLOWED = {
    ("companies", "companies"): frozenset({PARENT_TO_CHILD, CHILD_TO_PARENT, PLAIN}),
    ("deals", "companies"): frozenset({5, 341}),
    ("companies", "deals"): frozenset({6, 342}),
}
"""Type ids that HubSpot defines from one object type to another."""
DEFAULT_TYPE = {("companies", "companies"): PLAIN, ("deals", "companies"): 341, ("companies", "deals"): 342}

End = tuple[str, str]  # object type, record id


def link(world: World, start: End, end: End, types: Iterable[int]) -> None:
    """Put plain edges in place, in both directions, without checks. Parents are not made here."""
    for type_id in types:
        _edges(world, start, end[0]).setdefault(end[1], {})[type_id] = True
        _edges(world, end, start[0]).setdefault(start[1], {})[INVERSE[type_id]] = True


def associate(world: World, start: End, end: End, types: Iterable[int], *, by: str, client: str, request: int) -> None:
    """Make edges of the given types. Refused when an end is missing, a type does not fit, or a parent is impossible."""
    wanted = sorted(set(types))
    _check_ends(world, start, end)
    if not wanted or (unknown := set(wanted) - ALLOWED.get((start[0], end[0]), frozenset())):
        raise invalid(f"association types {sorted(unknown) if wanted else []} do not exist from {start[0]} to {end[0]}")
    for type_id in wanted:
        if type_id in (PARENT_TO_CHILD, CHILD_TO_PARENT):
            child, parent = (start[1], end[1]) if type_id == CHILD_TO_PARENT else (end[1], start[1])
            set_parent(world, child, parent, by=by, client=client, request=request)
    link(world, start, end, [t for t in wanted if t not in (PARENT_TO_CHILD, CHILD_TO_PARENT)])


def set_parent(world: World, child: str, parent: str, *, by: str, client: str, request: int) -> None:
    """Give a company its parent. A second parent replaces the first or is refused, by the switch `second_parent`."""
    companies = world.table("hubspot", "companies")
    old = companies[child].get("hs_parent_company_id")
    if old == parent:
        return
    if old is not None and world.settings.second_parent == "error":
        raise invalid(f"company {child} already has a parent company ({old}); remove that association first")
    seen: str | None = parent
    while seen is not None:
        if seen == child:
            raise invalid(f"company {parent} is below company {child}; it cannot be its parent")
        seen = companies.get(seen, {}).get("hs_parent_company_id")
    write_parent(world, child, parent, by=by, client=client, request=request)


def write_parent(world: World, child: str, parent: str | None, *, by: str, client: str, request: int) -> None:
    """Store a parent, or none, with its history and the hooks of a write."""
    fields = {"hs_parent_company_id": parent}
    world.emit("before_write", "hubspot", "companies", [child], fields)
    world.set_fields("hubspot", "companies", child, fields, by=by, source="API", client=client, request=request)
    world.emit("after_write", "hubspot", "companies", [child], fields)


def unlink(
    world: World, start: End, end: End, types: Iterable[int] | None, *, by: str, client: str, request: int
) -> None:
    """Remove edges of the given types, or all of them (None). What is not there is no error."""
    present = types_between(world, start, end)
    for type_id in present if types is None else [t for t in types if t in present]:
        if type_id in (PARENT_TO_CHILD, CHILD_TO_PARENT):
            child = start[1] if type_id == CHILD_TO_PARENT else end[1]
            write_parent(world, child, None, by=by, client=client, request=request)
        else:
            _drop(world, start, end, type_id)
            _drop(world, end, start, INVERSE[type_id])


def neighbours(world: World, start: End, to_type: str) -> dict[str, list[int]]:
    """Ids of the associated records in use with the sorted types of their edges, in id order."""
    found = {end: set(types) for end, types in _edges(world, start, to_type).items()}
    table = world.table("hubspot", to_type)
    if start[0] == to_type == "companies":
        parent = table.get(start[1], {}).get("hs_parent_company_id")
        if parent is not None:
            found.setdefault(parent, set()).update((CHILD_TO_PARENT, PLAIN))
        for child in children_of(world, start[1]):
            found.setdefault(child, set()).update((PARENT_TO_CHILD, PLAIN))
    in_use = [end for end in found if end in table and not table[end]["archived"]]
    return {end: sorted(found[end]) for end in sorted(in_use, key=int)}


def types_between(world: World, start: End, end: End) -> list[int]:
    """Types of the edges between two records."""
    return neighbours(world, start, end[0]).get(end[1], [])


def children_of(world: World, parent: str) -> list[str]:
    """Ids of the companies in use that have this parent."""
    rows = world.table("hubspot", "companies").values()
    return [r["hs_object_id"] for r in rows if r.get("hs_parent_company_id") == parent and not r["archived"]]


def child_counts(world: World) -> dict[str, int]:
    """Number of child companies by parent id, for all parents at once."""
    counts: dict[str, int] = {}
    for row in world.table("hubspot", "companies").values():
        parent = row.get("hs_parent_company_id")
        if parent is not None and not row["archived"]:
            counts[parent] = counts.get(parent, 0) + 1
    return counts


def move_edges(world: World, old: End, new: End) -> None:
    """Hand the edges of a merged record to its survivor. Parents are moved by the merge itself."""
    for to_type in SINGULAR:
        for end, types in list(_edges(world, old, to_type).items()):
            for type_id in list(types):
                _drop(world, old, (to_type, end), type_id)
                _drop(world, (to_type, end), old, INVERSE[type_id])
                if end != new[1]:
                    link(world, new, (to_type, end), [type_id])


def _edges(world: World, start: End, to_type: str) -> dict[str, dict[int, bool]]:
    return world.table("hubspot", "associations").setdefault(f"{start[0]}:{start[1]}:{to_type}", {})


def _drop(world: World, start: End, end: End, type_id: int) -> None:
    edges = _edges(world, start, end[0])
    edges.get(end[1], {}).pop(type_id, None)
    if not edges.get(end[1]):
        edges.pop(end[1], None)


def _check_ends(world: World, start: End, end: End) -> None:
    for object_type, record_id in (start, end):
        record = world.table("hubspot", object_type).get(record_id)
        if record is None or record["archived"]:
            raise Refused(404, "OBJECT_NOT_FOUND", f"{SINGULAR[object_type].upper()} {record_id} does not exist")
