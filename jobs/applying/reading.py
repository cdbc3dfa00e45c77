"""Readings around a write: the records just before, their teams, and what they became, with their history."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from connectors.protocol import Lane
from jobs.applying.history import UNGUARDED, Entry, ReadsWithHistory
from jobs.applying.model import Work
from jobs.applying.native import canonical_values, read_now
from jobs.applying.session import ApplyRun

Now = tuple[dict[str, str | None], str] | None
"""Canonical values and version of a record; None = gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBack:
    """What the CRM says after a write."""

    now: Mapping[str, Now] = field(default_factory=dict)  # by record id
    histories: Mapping[str, Sequence[Entry]] = field(default_factory=dict)  # by record id, where it was looked at


def read_before(run: ApplyRun, connection: str, works: Iterable[Work], *, versions: bool) -> dict[str, Now]:
    """The records as they are now, by record id."""
    return read_now(run.connected(connection), _wanted(works), versions=versions)


def read_back(run: ApplyRun, connection: str, lane: Lane, works: Sequence[Work]) -> ReadBack:
    """The records of written items. Where a person's edit must show, values and history come in one reading."""
    connected = run.connected(connection)
    target, translation = connected.target, connected.translation
    watched = {work.record_id: _watched(run, work.want) for work in works if _watched(run, work.want)}
    if lane not in UNGUARDED or not isinstance(target, ReadsWithHistory) or not watched:
        return ReadBack(now=read_before(run, connection, works, versions=False))
    wanted = _wanted(works)
    plain = read_before(run, connection, [w for w in works if w.record_id not in watched], versions=False)
    fields = sorted({translation.native_name(name) for one in watched for name in wanted[one]})
    names = sorted({translation.native_name(name) for one in watched for name in _watched(run, wanted[one])})
    found, histories = target.read_with_history(list(watched), fields, names)
    traced: dict[str, Now] = {}
    for record_id in watched:
        current = found.get(record_id)
        traced[record_id] = (
            None if current is None else (canonical_values(translation, current, wanted[record_id]), current.version)
        )
    return ReadBack(now={**plain, **traced}, histories=histories)


def teams_in_the_way(
    run: ApplyRun, connection: str, works: Iterable[Work], now: Mapping[str, Now]
) -> Mapping[str, int]:
    """Account-team sizes just before, of the records whose owner is about to change."""
    changing = [
        work.record_id
        for work in works
        if "owner" in work.want and (found := now[work.record_id]) and found[0]["owner"] != work.want["owner"]
    ]
    sizes = run.connected(connection).target.team_sizes(list(dict.fromkeys(changing))) if changing else {}
    return {record_id: size for record_id, size in sizes.items() if size}


def _watched(run: ApplyRun, fields: Iterable[str]) -> list[str]:
    return [name for name in fields if run.is_watched(name)]


def _wanted(works: Iterable[Work]) -> dict[str, list[str]]:
    wanted: dict[str, list[str]] = {}
    for work in works:
        wanted.setdefault(work.record_id, []).extend(work.want)
    return wanted
