"""`python -m bench.events --data DIR`: ownership events of two deliveries against the labelled ones.

DIR holds `crm/`, `feeds/` and `truth/` of the labelled hospitals. Day 1 is linked first; day 2 keeps its links, as an
installation would.
"""

from __future__ import annotations

import argparse
import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import narwhals as nw

from bench.labelled import labelled_folder, load_world
from jobs.engines import PolarsEngine
from mappings.load import load
from sync.hierarchy.edges import released
from sync.identity.judge import link
from sync.triggers.vendor import ownership_events
from sync.world import CROSSWALK, World

DAY_1, DAY_2 = "definitive_2020.csv.gz", "definitive_2022.csv.gz"
KINDS = {
    "moved_system_old_survives": "moved_system",
    "moved_system_old_dissolved": "moved_system",
    "joined": "joined_system",
    "left": "left_system",
}
NAMES = {"moved_system": "moved between systems", "joined_system": "joined a system", "left_system": "left a system"}


@dataclass(frozen=True, slots=True)
class Event:
    """One change of system of one firm."""

    firm_id: str
    kind: str  # moved_system, joined_system, left_system
    old: str  # name of the system, "" = none
    new: str
    grade: str = ""
    old_id: str = ""  # vendor id of the system
    new_id: str = ""


@dataclass(slots=True)
class Judged:
    """What was found, beside what is true."""

    found: Mapping[str, Event]
    true: Mapping[str, Event]
    renamed_only: frozenset[str]  # firms or systems that only changed their name
    reissued: Mapping[str, tuple[str, str]]  # firm -> account on day 1, on day 2; certificate number issued anew
    accounts_before: frozenset[str]  # of day 1
    unknown: frozenset[str]  # firms whose system is not known on one of the days
    why: dict[str, str] = field(default_factory=dict)

    def counts(self, kind: str) -> tuple[int, int, int]:
        """Right, found, true."""
        found = {id_ for id_, event in self.found.items() if event.kind == kind}
        true = {id_ for id_, event in self.true.items() if event.kind == kind}
        return len(found & true), len(found), len(true)

    def misses(self, kind: str) -> list[Event]:
        """Labelled events of a kind that were not found as that kind."""
        return [e for i, e in sorted(self.true.items()) if e.kind == kind and not self._has(i, kind)]

    def extras(self, kind: str) -> list[Event]:
        """Events of a kind that are not labelled as that kind."""
        return [e for i, e in sorted(self.found.items()) if e.kind == kind and self._kind(i) != kind]

    def _has(self, firm_id: str, kind: str) -> bool:
        return firm_id in self.found and self.found[firm_id].kind == kind

    def _kind(self, firm_id: str) -> str:
        return self.true[firm_id].kind if firm_id in self.true else ""


def judge(folder: Path) -> Judged:
    """Both days run, and compared with the labels."""
    engine, mappings = PolarsEngine(), load()
    first, second = (load_world(folder, mappings, feed=feed) for feed in (DAY_1, DAY_2))
    before = link(first, mappings.policies.identity, mappings.places, engine).links
    kept = before.select("source", "source_id", "account_id", "how").select(*CROSSWALK)
    world = replace(second, previous_firms=first.firms, crosswalk=kept)
    after = link(world, mappings.policies.identity, mappings.places, engine).links
    firm_of = {row["account_id"]: row["source_id"] for row in engine.rows(after) if row["source"] == "definitive"}
    found = {}
    for row in engine.rows(ownership_events(world, after, released(world), engine)):
        firm_id = firm_of[row["account_id"]]
        found[firm_id] = Event(firm_id, row["kind"], row["old_system"] or "", row["new_system"] or "")
    homes = [{row["source_id"]: row["account_id"] for row in engine.rows(links)} for links in (before, after)]
    non_events = list(_rows(folder / "truth/non_events.csv"))
    reissued = {row["definitive_id"] for row in non_events if row["kind"] == "ccn_reissue"}
    judged = Judged(
        found=found,
        true=_true(folder),
        renamed_only=frozenset(
            row["definitive_id"] for row in non_events if row["kind"] in ("rename", "system_rename")
        ),
        reissued={id_: (homes[0].get(id_, ""), homes[1].get(id_, "")) for id_ in sorted(reissued)},
        accounts_before=frozenset(row["account_id"] for row in engine.rows(before)),
        unknown=_unknown(folder),
    )
    judged.why = dict(_reasons(judged, world))
    return judged


def _true(folder: Path) -> dict[str, Event]:
    return {
        row["definitive_id"]: Event(
            row["definitive_id"],
            KINDS[row["kind"]],
            row["system_name_old"],
            row["system_name_new"],
            row["grade"],
            row["idn_parent_id_old"],
            row["idn_parent_id_new"],
        )
        for row in _rows(folder / "truth/events_2020_2022.csv")
    }


def _unknown(folder: Path) -> frozenset[str]:
    """Firms that one of the days has no knowledge of: what is unknown is no label."""
    days = [list(_rows(folder / f"truth/parents_{year}.csv")) for year in ("2020", "2022")]
    known = [{r["definitive_id"] for r in day if not r["basis"].startswith("unknown")} for day in days]
    return frozenset({r["definitive_id"] for day in days for r in day} - (known[0] & known[1]))


def _reasons(judged: Judged, world: World) -> Iterator[tuple[str, str]]:
    """What the feed says about every firm on which found and labelled differ."""
    engine = PolarsEngine()
    wanted = [i for i in {*judged.found, *judged.true} if _kind(judged.found, i) != _kind(judged.true, i)]
    shown = []
    for firms in (world.previous_firms, world.firms):
        rows = engine.rows(firms.filter(nw.col("firm_id").is_in(wanted)))
        shown.append({r["firm_id"]: (r["idn_id"], r["idn_parent_id"] or r["idn_id"]) for r in rows})
    for firm_id in wanted:
        yield firm_id, _reason(firm_id, judged, *(day.get(firm_id) for day in shown))


def _kind(events: Mapping[str, Event], firm_id: str) -> str:
    return events[firm_id].kind if firm_id in events else ""


def _reason(firm_id: str, judged: Judged, day_1: object, day_2: object) -> str:
    if day_1 is None or day_2 is None:
        return "the feed has the firm on one day only"
    if day_1 == (None, None) and day_2 == (None, None):
        return "the feed leaves the system blank on both days"
    if day_2 == (None, None):
        return "the feed leaves the system blank on day 2: a person is asked (SYSTEM-BLANK), nothing is detached"
    if firm_id not in judged.true and day_1 == (None, None):
        why = "blank on day 1; the labels do not know it then" if firm_id in judged.unknown else "blank on day 1"
        return f"the feed names a system on day 2 that it did not name before ({why})"
    if day_1 == day_2:
        return "the feed names the same system on both days"
    return f"the feed's system was {day_1} and is {day_2}"


def page(judged: Judged) -> str:
    """docs/event-figures.md."""
    return "\n".join([*_head(judged), *_differences(judged)]) + "\n"


def _head(judged: Judged) -> Iterator[str]:
    yield from (
        "# Ownership events, measured",
        "",
        "Two deliveries of real hospitals, June 2020 and December 2022, compared with labels from two vintages of a",
        "public compendium of health systems: `python -m bench.events --data DIR`. Moves between systems are sure",
        "labels; joined and left are not, since part of them is the publisher counting differently: they stand apart.",
        "",
        "| event | labelled | found | right | precision | recall |",
        "|---|---|---|---|---|---|",
    )
    for kind, name in NAMES.items():
        right, found, true = judged.counts(kind)
        yield f"| {name} | {true} | {found} | {right} | {_share(right, found)} | {_share(right, true)} |"
    moved = [judged.found[i] for i, e in judged.true.items() if e.kind == "moved_system" and i in judged.found]
    named = sum(bool(event.old and event.new) for event in moved)
    renamed = sorted(judged.renamed_only & judged.found.keys() - judged.true.keys())
    moved_home = [pair for pair in judged.reissued.values() if pair[0] and pair[0] != pair[1]]
    lost = [pair for pair in moved_home if pair[1] not in judged.accounts_before]
    yield ""
    yield f"- Moves found with the old and the new system named: {named} of {len(moved)}."
    yield f"- Hospitals and systems that were only renamed, reported as an event: {len(renamed)}."
    yield (
        f"- Certificate numbers issued anew: {len(judged.reissued)}; accounts lost over it: {len(lost)}; "
        f"firms that the new number led to the account of their CRM record: {len(moved_home) - len(lost)}."
    )


def _differences(judged: Judged) -> Iterator[str]:
    for kind, name in NAMES.items():
        for title, events in (("not found", judged.misses(kind)), ("not labelled", judged.extras(kind))):
            yield ""
            yield f"## {name.capitalize()}, {title}: {len(events)}"
            yield ""
            yield from _by_reason(events, judged) if events else ["None."]


def _by_reason(events: Iterable[Event], judged: Judged) -> Iterator[str]:
    counts = Counter(_general(judged.why.get(event.firm_id, "")) for event in events)
    yield "| firms | what the feed says | firms' ids, the first eight |"
    yield "|---|---|---|"
    for reason, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        ids = [e.firm_id for e in events if _general(judged.why.get(e.firm_id, "")) == reason]
        yield f"| {count} | {reason} | {', '.join(ids[:8])} |"


def _general(reason: str) -> str:
    return "the feed names two different systems" if reason.startswith("the feed's system was") else reason


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "none"


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines, strict=True)


def main() -> int:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(prog="bench.events", description=__doc__)
    parser.add_argument("--data", type=labelled_folder, required=True, help="folder of the labelled hospitals")
    parser.add_argument("--write", type=Path, help="file to write the page to")
    options = parser.parse_args()
    text = page(judge(options.data))
    if options.write:
        options.write.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
