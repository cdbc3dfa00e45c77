"""The world of one plan: everything the core looks at, read once from the state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from jobs.applying.around import ever_agreed, recent_moves
from jobs.tables import OBJECT_SCHEMAS, arrow_schema, empty, overlaid, widened
from jobs.wiring import Wired
from mappings.canonical import FEEDS, MANAGED
from mappings.schema import CrmMap
from store import journal
from store.snapshots import Snapshot, Status
from sync.engine import Frame
from sync.frames import stack
from sync.memory import remembered
from sync.territory.holds import BY_RULE, months_before
from sync.world import (
    AGREED,
    AUTHORITY_FACTS,
    CONTACTS,
    CROSSWALK,
    EDGE_FACTS,
    FACTS,
    FIRMS,
    HOLDS,
    LINK_DECISIONS,
    MOVES,
    OVERRIDES,
    OWNERSHIP_FACTS,
    SIGNALS,
    Schema,
    World,
)

_REMEMBERED = 24
"""Earlier deliveries of a feed that are read: two years of monthly ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A world, and the snapshots it was made of."""

    world: World
    snapshots: tuple[Snapshot, ...]
    feeds: tuple[Snapshot, ...]

    @property
    def schema_hashes(self) -> dict[str, str]:
        """Column layout by source and object."""
        return {f"{one.source}/{one.object}": one.schema_hash for one in (*self.snapshots, *self.feeds)}


class NothingPulled(Exception):
    """There is no snapshot to plan from."""


def load_world(wired: Wired, as_of: str) -> Loaded:
    """The world as the newest accepted snapshots show it. Raises NothingPulled where no CRM was pulled yet."""
    sources = wired.kinds or tuple(sorted(wired.pins.org_ids()))  # what was pulled can be read without credentials
    by_object = {name: _current(wired, sources, name) for name in OBJECT_SCHEMAS}
    accounts = by_object["account"]
    if not accounts:
        raise NothingPulled("no accounts have been pulled yet; run `platbook pull` first")
    feeds = {rows: _feeds(wired, rows) for rows in FEEDS}
    agreed = wired.agreed.table()
    frame = wired.engine.from_arrow
    moved = recent_moves(wired.database, wired.mappings.policies)
    tables = {name: _read(wired, found, OBJECT_SCHEMAS[name]) for name, found in by_object.items()}
    tables["account"] = _as_left(wired, accounts, tables["account"])
    maps = {one.source: wired.mappings.crms[one.source] for one in accounts}
    missing = {one.source: frozenset(one.meta.get("missing", ())) for one in accounts}
    hidden = {source: ever_agreed(agreed, source, fields) for source, fields in missing.items()}
    fixed = {one.source: frozenset(one.meta.get("fixed", ())) for one in accounts}
    world = World(
        records=frame(tables["account"]),
        firms=frame(_read(wired, feeds["firm"], FIRMS)),
        previous_firms=_last_said(wired, feeds["firm"]),
        facts=frame(_read(wired, feeds["fact"], FACTS)),
        users=frame(tables["user"]),
        opportunities=frame(tables["opportunity"]),
        team_members=frame(tables["team_member"]),
        field_changes=frame(tables["field_change"]),
        crosswalk=frame(_shaped(wired.crosswalk.table(), CROSSWALK)),
        link_decisions=frame(_shaped(wired.link_decisions.table(), LINK_DECISIONS)),
        agreed=frame(_shaped(agreed, AGREED)),
        overrides=frame(_shaped(wired.decisions.overrides(), OVERRIDES)),
        holds=frame(_shaped(wired.decisions.holds(as_of), HOLDS)),
        past_holds=frame(_shaped(_past_holds(wired, as_of), HOLDS)),
        edge_facts=frame(_read(wired, feeds["edge"], EDGE_FACTS)) if feeds["edge"] else None,
        authority_facts=frame(_read(wired, feeds["authority"], AUTHORITY_FACTS)) if feeds["authority"] else None,
        ownership_facts=frame(_read(wired, feeds["ownership"], OWNERSHIP_FACTS)) if feeds["ownership"] else None,
        signals=frame(_read(wired, feeds["signal"], SIGNALS)) if feeds["signal"] else None,
        contacts=frame(_read(wired, feeds["contact"], CONTACTS)) if feeds["contact"] else None,
        hidden=hidden,
        unmapped={source: _not_pushed(maps[source]) | (missing[source] - hidden[source]) for source in maps},
        picklists={one.source: _picklists(one) for one in accounts},
        lanes={source: _lanes(crm_map) for source, crm_map in maps.items()},
        accepted_guards=wired.decisions.accepted_first_contacts(),
        our_users={one.source: str(one.meta.get("our_user", "")) for one in accounts},
        moves=wired.engine.table(moved, MOVES) if moved else None,
        local_time=wired.local_time(),
        fixed={source: ever_agreed(agreed, source, fields) for source, fields in fixed.items()},
    )
    snapshots = tuple(one for found in by_object.values() for one in found)
    return Loaded(world=world, snapshots=snapshots, feeds=tuple(one for found in feeds.values() for one in found))


def _as_left(wired: Wired, pulled: Sequence[Snapshot], records: pa.Table) -> pa.Table:
    """The records as last seen: what an apply read back after its writes is newer than the pull before it."""
    seen: dict[tuple[str, ...], Mapping[str, str | None]] = {}
    with wired.database.read() as conn:
        for one in pulled:
            back = journal.read_back(conn, one.source, since=one.taken_at)
            seen |= {(one.source, record_id): values for record_id, values in back.items()}
    return overlaid(records, seen, ("connection", "record_id")) if seen else records


def _past_holds(wired: Wired, as_of: str) -> pa.Table:
    """Holds that rules made and that ended within the last year: their accounts are not held again."""
    return wired.decisions.past_holds(as_of, since=months_before(as_of, 12), by=BY_RULE)


def _current(wired: Wired, sources: Sequence[str], name: str) -> tuple[Snapshot, ...]:
    found = (wired.snapshots.current(source, name) for source in sources)
    return tuple(one for one in found if one is not None)


def _feeds(wired: Wired, rows: str) -> tuple[Snapshot, ...]:
    names = sorted(name for name, layout in wired.mappings.feeds.items() if layout.rows == rows)
    return _current(wired, names, rows)


def _last_said(wired: Wired, feeds: Sequence[Snapshot]) -> Frame:
    """FIRMS: what every feed said last of each firm before the delivery in use."""
    parts = []
    for feed in feeds:
        earlier = [wired.engine.from_arrow(_read(wired, [one], FIRMS)) for one in _earlier(wired, feed)]
        parts.append(remembered(earlier, wired.engine))
    return stack(parts) if parts else wired.engine.table([], FIRMS)


def _earlier(wired: Wired, current: Snapshot) -> list[Snapshot]:
    """Accepted deliveries before it, newest first: a corrected one takes the place of the one it corrects."""
    dates: dict[str, Snapshot] = {}
    for one in wired.snapshots.list(source=current.source, status=Status.ACCEPTED):
        if one.object == current.object and one.position < current.position:
            dates.setdefault(str(one.verdict.get("as_of", "")), one)
    if len(dates) > 1:
        dates.pop(str(current.verdict.get("as_of", "")), None)
    return [dates[day] for day in sorted(dates, reverse=True)][:_REMEMBERED]


def _read(wired: Wired, snapshots: Sequence[Snapshot], schema: Schema) -> pa.Table:
    return widened([wired.snapshots.read(one) for one in snapshots], schema)


def _shaped(table: pa.Table, schema: Schema) -> pa.Table:
    if not table.num_rows:
        return empty(schema)
    return table.select(list(schema)).cast(arrow_schema(schema))


def _not_pushed(crm_map: CrmMap) -> frozenset[str]:
    fields = crm_map.objects["account"].fields
    return frozenset(name for name in MANAGED if name not in fields or not fields[name].push)


def _lanes(crm_map: CrmMap) -> dict[str, str]:
    return {name: spec.lane for name, spec in crm_map.objects["account"].fields.items() if spec.push}


def _picklists(accounts: Snapshot) -> Mapping[str, frozenset[str]]:
    return {name: frozenset(values) for name, values in accounts.meta.get("picklists", {}).items()}
