"""The labelled hospitals beside a development checkout: their CRMs and one delivery as a world, and who is who.

The folder holds `crm/`, `feeds/` and `truth/` as CSV files. Nothing of it ships; every function takes the folder.
"""

from __future__ import annotations

import argparse
import csv
import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

import polars as pl

from bench.worlds import world_of
from jobs.intake import take
from jobs.tables import from_rows, object_schema, widened
from mappings.policy import Mappings
from mappings.translate import account_rows
from sync.world import (
    AGREED,
    CROSSWALK,
    FACTS,
    FIELD_CHANGES,
    FIRMS,
    HOLDS,
    OPPORTUNITIES,
    OVERRIDES,
    RECORDS,
    TEAM_MEMBERS,
    USERS,
    World,
)

FILES = {"salesforce": "crm/salesforce_accounts.csv.gz", "hubspot": "crm/hubspot_companies.csv.gz"}
NEEDED = (
    *FILES.values(),
    "feeds/MANIFEST.csv",
    "truth/match.csv.gz",
    "truth/crm_keys.csv.gz",
    "truth/bad_identifiers.csv",
)
_IDS = {"salesforce": ("Id", "Id"), "hubspot": ("hs_object_id", "id")}
Key = tuple[str, str]  # source, source id


@dataclass(frozen=True, slots=True)
class Firm:
    """What is known of one firm of the delivery."""

    firm_id: str
    verdict: str  # match, none, unknown
    records: frozenset[Key]  # all of them, duplicates included
    is_facility: bool
    has_identifier_path: bool  # an identifier of the feed row is on one of its CRM records
    is_hard: bool  # no such path and unlike names
    name_similarity: float | None


@dataclass(frozen=True, slots=True)
class Truth:
    """Who is who, and what must never be bound."""

    firms: Mapping[str, Firm]
    entity: Mapping[Key, str]  # CRM record -> the organisation it stands for
    duplicates: frozenset[tuple[Key, Key]]  # sorted pairs of CRM records that are one organisation
    forbidden: frozenset[tuple[str, Key]] = field(default_factory=frozenset)  # (firm or record id, record)


def labelled_folder(text: str) -> Path:
    """The folder of `--data`, for argparse: refused with what is missing, before anything is read."""
    folder = Path(text)
    missing = [name for name in NEEDED if not _packed_or_not(folder / name).is_file()]
    if not missing:
        return folder
    fact = f"has no {missing[0]}" if folder.is_dir() else "is no folder"
    expected = "expected the folder of the labelled hospitals, with crm/, feeds/ and truth/ in it"
    remedy = "Give its path: --data DIR, or make bench LABELLED=DIR"
    raise argparse.ArgumentTypeError(f"{folder} {fact}; {expected}. {remedy}")


def load_world(folder: Path, mappings: Mappings, *, feed: str = "definitive_2020.csv.gz") -> World:
    """Both CRMs and one delivery, nothing remembered from before."""
    manifest = {row["file"].removesuffix(".gz"): row for row in _rows(folder / "feeds/MANIFEST.csv")}
    entry = manifest.get(feed.removesuffix(".gz"), {})
    taken = take(
        _packed_or_not(folder / "feeds" / feed),
        mappings.feeds["definitive"],
        as_of=_first(entry, "as_of", "as_of_date", default="2020-06-01"),
        encoding=_first(entry, "encoding", "declared_encoding", default=""),
    )
    blank = {
        "previous_firms": FIRMS,
        "facts": FACTS,
        "users": USERS,
        "opportunities": OPPORTUNITIES,
        "team_members": TEAM_MEMBERS,
        "field_changes": FIELD_CHANGES,
        "crosswalk": CROSSWALK,
        "agreed": AGREED,
        "overrides": OVERRIDES,
        "holds": HOLDS,
    }
    tables = {name: _frame([], schema) for name, schema in blank.items()}
    records = [_records(folder, kind, mappings) for kind in FILES]
    tables["records"] = pl.DataFrame(pl.from_arrow(widened(records, RECORDS)))
    tables["firms"] = _frame([dict(row) for row in taken.rows], FIRMS)
    return world_of(tables)


def load_truth(folder: Path) -> Truth:
    """The truth files."""
    firms = {row["definitive_id"]: _firm(row) for row in _rows(folder / "truth/match.csv.gz")}
    entity = {
        (row["crm"], row["record_id"]): row["true_ccn"] or row["system_key"]
        for row in _rows(folder / "truth/crm_keys.csv.gz")
    }
    by_entity: dict[str, list[Key]] = {}
    for key, name in entity.items():
        by_entity.setdefault(name, []).append(key)
    pairs = {
        (a, b)
        for name, keys in by_entity.items()
        if name
        for i, a in enumerate(sorted(keys))
        for b in sorted(keys)[i + 1 :]
    }
    return Truth(firms=firms, entity=entity, duplicates=frozenset(pairs), forbidden=frozenset(_forbidden(folder)))


def held_out(truth: Truth, firms: frozenset[str]) -> Truth:
    """The truth about some firms only."""
    return replace(truth, firms={key: firm for key, firm in truth.firms.items() if key in firms})


def _forbidden(folder: Path) -> Iterator[tuple[str, Key]]:
    for row in _rows(folder / "truth/bad_identifiers.csv"):
        for record_id in filter(None, row["must_not_match"].split(";")):
            source = "hubspot" if record_id.isdigit() else "salesforce"
            yield row["record_id"], (source, record_id)


def _firm(row: Mapping[str, str]) -> Firm:
    records = {("salesforce", one) for one in row["salesforce_ids"].split(";") if one}
    records |= {("hubspot", one) for one in row["hubspot_ids"].split(";") if one}
    return Firm(
        firm_id=row["definitive_id"],
        verdict=row["verdict"],
        records=frozenset(records),
        is_facility=row["firm_type"] not in ("IDN", "Corporate Parent"),
        has_identifier_path=bool(row["id_path"]),
        is_hard=row["hard"] == "1",
        name_similarity=float(row["name_sim"]) if row["name_sim"] else None,
    )


def _records(folder: Path, kind: str, mappings: Mappings) -> Any:
    object_map = mappings.crms[kind].objects["account"]
    old, new = _IDS[kind]
    flat = [{**{k: v or None for k, v in row.items()}, new: row[old]} for row in _rows(folder / FILES[kind])]
    natives: list[dict[str, Any]] = [
        {"id": row["id"], "archived": False, "properties": row} if kind == "hubspot" else dict(row) for row in flat
    ]
    return from_rows([account_rows(natives, object_map, kind)], object_schema("account", object_map))


def _frame(rows: list[dict[str, Any]], schema: Mapping[str, Any]) -> pl.DataFrame:
    dtypes = {"String": pl.String, "Int64": pl.Int64, "Boolean": pl.Boolean}
    columns = {name: dtypes[str(dtype)] for name, dtype in schema.items()}
    return pl.DataFrame({name: [row.get(name) for row in rows] for name in columns}, schema=columns)


def _first(row: Mapping[str, str], *names: str, default: str) -> str:
    return next((row[name] for name in names if row.get(name)), default)


def _rows(path: Path) -> list[dict[str, str]]:
    with _open(path) as stream:
        return list(csv.DictReader(stream))


def _open(path: Path) -> TextIO:
    there = _packed_or_not(path)
    if there.suffix == ".gz":
        return gzip.open(there, "rt", encoding="utf-8", newline="")
    return there.open(encoding="utf-8", newline="")


def _packed_or_not(path: Path) -> Path:
    """The file by that name, or its gzipped or plain twin: small files lie there unpacked."""
    twin = path.with_suffix("") if path.suffix == ".gz" else path.with_name(f"{path.name}.gz")
    return twin if twin.is_file() and not path.is_file() else path
