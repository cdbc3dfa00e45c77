"""`python -m bench.multi_rep --data DIR`: systems with several primary owners, as the lint lists them and as planted.

DIR holds `crm/`, `feeds/` and `truth/` of the labelled hospitals. Every planted system must be listed; every other that
is listed is explained row by row: each record of somebody else than the owner of most, and whose it really is.
"""

from __future__ import annotations

import argparse
import csv
import gzip
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from bench.labelled import labelled_folder, load_world
from jobs.engines import PolarsEngine
from mappings.load import load
from mappings.policy import Mappings, Rep
from sync.engine import Engine, Frame
from sync.insight.book_lints import multi_rep
from sync.insight.lint import Looked
from sync.insight.standing import Found
from sync.reconcile import find_out
from sync.world import USERS, World

AS_OF = "2020-06-01"
NO_PRIMARY = frozenset({"OVERLAY", "ACTIVATION", "INSIDE", "MANAGER"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One CRM record of a listed system."""

    source: str
    record_id: str
    name: str
    owner: str  # e-mail
    role: str  # on the roster
    truth: str  # key of the system it belongs to by the labels; "" = none
    planted: frozenset[str] = frozenset()  # faults that were planted on it


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One system that the lint lists."""

    unit: str
    name: str
    planted: bool
    records: tuple[Record, ...]

    @property
    def odd(self) -> tuple[Record, ...]:
        """Records of primaries other than the owner of most."""
        primaries = [one for one in self.records if one.role not in NO_PRIMARY]
        most = _most(one.owner for one in primaries)
        return tuple(one for one in primaries if one.owner != most)

    def reason(self, record: Record) -> str:
        """Why a record of another owner stands in this system."""
        home = _most(one.truth for one in self.records if one.truth)
        if "owner_inactive" in record.planted:
            twin = "; the organisation stands in both CRMs" if "duplicate_cross_crm" in record.planted else ""
            return f"its owner left, which was planted (owner_inactive){twin}"
        if not record.truth:
            return "the labels know no system of it; the delivery puts it into this one"
        if record.truth != home:
            return f"of system {record.truth} by the labels, of this one ({home}) by the delivery"
        return "of the system by the labels as well: two primaries the seed did not name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What is listed beside what was planted."""

    planted: int
    missed: tuple[str, ...]  # keys of planted systems that are not listed
    listed: tuple[Listed, ...]


def compare(folder: Path) -> Compared:
    """The lint on day 1 of the labelled hospitals."""
    engine, mappings = PolarsEngine(), _with_roster(load(), folder)
    world = replace(load_world(folder, mappings), users=_users(folder, engine))
    found, _ = find_out(world, mappings, AS_OF, engine)
    looked = Looked(
        found=_found(world, found, mappings), standing=found.ownership, kpis=(), problems=(), mappings=mappings
    )
    rows = multi_rep(looked, engine).rows
    account = {(r["source"], r["source_id"]): r["account_id"] for r in engine.rows(found.links)}
    unit = {r["account_id"]: r["unit_account_id"] for r in engine.rows(found.ownership)}
    planted: dict[str, set[str]] = defaultdict(set)
    for row in _rows(folder / "truth/crm_seed_defects.csv"):
        if row["defect"] == "two_rep_system":
            planted[row["true_entity"]].add(unit[account[row["crm"], row["record_id"]]])
    names = {row["subject"]: row["system"] for row in rows}
    members = _members(folder, world, mappings, {key: unit.get(one, "") for key, one in account.items()}, engine)
    listed = tuple(
        Listed(
            unit=one, name=name, planted=any(one in units for units in planted.values()), records=tuple(members[one])
        )
        for one, name in sorted(names.items(), key=lambda pair: (pair[1], pair[0]))
    )
    missed = tuple(sorted(key for key, units in planted.items() if not units & names.keys()))
    return Compared(planted=len(planted), missed=missed, listed=listed)


def _found(world: World, found: Any, mappings: Mappings) -> Found:
    return Found(
        world=world, links=found.links, accounts=found.accounts, hierarchy=found.hierarchy, tiers=found.tiers,
        ownership=found.ownership, profiles=found.profiles, policies=mappings.policies, as_of=AS_OF,
    )  # fmt: skip


def _with_roster(mappings: Mappings, folder: Path) -> Mappings:
    """The shipped mappings with the people of the labelled CRMs on the roster."""
    reps = tuple(
        Rep(email=row["email"], name=row["name"], role=row["role"], states=tuple(row["states"].split(";")),  # type: ignore[arg-type]  # pydantic checks the word
            active=row["active"] == "true")
        for row in _rows(folder / "crm/users.csv")
    )  # fmt: skip
    roster = mappings.policies.reps.model_copy(update={"reps": reps})
    return mappings.model_copy(update={"policies": mappings.policies.model_copy(update={"reps": roster})})


def _users(folder: Path, engine: Engine) -> Frame:
    rows = []
    for row in _rows(folder / "crm/users.csv"):
        person = {"email": row["email"], "name": row["name"], "is_active": row["active"] == "true"}
        rows.append({"connection": "salesforce", "user_id": row["sf_user_id"], **person})
        rows.append({"connection": "hubspot", "user_id": row["hubspot_owner_id"], **person})
    return engine.table(rows, USERS)


def _members(
    folder: Path, world: World, mappings: Mappings, unit: Mapping[tuple[str, str], str], engine: Engine
) -> Mapping[str, list[Record]]:
    """The records of every unit that somebody owns."""
    truth = {
        (r["crm"], r["record_id"]): r["true_parent_key"] or r["system_key"]
        for r in _rows(folder / "truth/crm_keys.csv.gz")
    }
    people = {(r["connection"], r["user_id"]): r["email"] for r in engine.rows(world.users)}
    roles = {rep.email: str(rep.role) for rep in mappings.policies.reps.reps}
    faults: dict[str, set[str]] = defaultdict(set)
    for row in _rows(folder / "truth/crm_seed_defects.csv"):
        faults[row["record_id"]].add(row["defect"])
    members: dict[str, list[Record]] = defaultdict(list)
    for row in sorted(engine.rows(world.records), key=lambda r: (r["connection"], r["record_id"])):
        key, owner = (row["connection"], row["record_id"]), people.get((row["connection"], row["owner"]))
        if owner and key in unit:
            members[unit[key]].append(
                Record(source=key[0], record_id=key[1], name=row["name"] or "", owner=owner,
                       role=roles.get(owner, "PRIMARY"), truth=truth.get(key, ""),
                       planted=frozenset(faults[key[1]]))
            )  # fmt: skip
    return members


def page(compared: Compared) -> str:
    """docs/multi-rep-figures.md."""
    return "\n".join(_lines(compared)) + "\n"


def _lines(compared: Compared) -> Iterator[str]:
    others = [one for one in compared.listed if not one.planted]
    yield from (
        "# Systems with several owners, measured",
        "",
        "FM1-MULTI-REP on two CRMs with 30 systems that were given two or more primary owners on purpose, and the",
        "delivery of June 2020: `python -m bench.multi_rep --data DIR`.",
        "",
        f"- Planted: {compared.planted}; listed of them: {compared.planted - len(compared.missed)}; "
        f"not listed: {', '.join(compared.missed) or 'none'}.",
        f"- Listed besides: {len(others)}.",
        "",
        "## Listed and not planted",
        "",
        "Every record of somebody else than the owner of most, and why it stands there.",
        "",
        "| system | record | owner | why |",
        "|---|---|---|---|",
    )
    for one in others:
        for record in one.odd:
            who = f"{record.source} {record.record_id}, {record.name}"
            yield f"| {one.name} | {who} | {record.owner} | {one.reason(record)} |"
    yield ""
    yield "In short: " + ("; ".join(f"{count} {reason}" for reason, count in _counts(others)) or "nothing") + "."


def _counts(others: Iterable[Listed]) -> list[tuple[str, int]]:
    reasons = Counter(
        "of another system by the labels" if one.reason(r).startswith("of system") else one.reason(r).partition(";")[0]
        for one in others
        for r in one.odd
    )
    return sorted(reasons.items(), key=lambda pair: (-pair[1], pair[0]))


def _most(values: Iterable[str]) -> str:
    counted = Counter(values)
    return min(counted, key=lambda value: (-counted[value], value), default="")


def _rows(path: Path) -> list[dict[str, str]]:
    with _open(path) as lines:
        return list(csv.DictReader(lines, strict=True))


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", newline="")
    return path.open(encoding="utf-8", newline="")


def main() -> int:
    """Print the page, or write it; 1 where a planted system is not listed."""
    parser = argparse.ArgumentParser(prog="bench.multi_rep", description=__doc__)
    parser.add_argument("--data", type=labelled_folder, required=True, help="folder of the labelled hospitals")
    parser.add_argument("--write", type=Path, help="file to write the page to")
    options = parser.parse_args()
    compared = compare(options.data)
    text = page(compared)
    if options.write:
        options.write.write_text(text, encoding="utf-8")
    print(text)
    return 1 if compared.missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
