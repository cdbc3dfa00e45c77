"""Sources held against each other: fields that differ, values that expired, vendors that public registers contradict.

Nothing here changes a value; each finding is a problem that a person reads. Registers name legal entities, vendors
name brands: a name that is alike supports the vendor, one that is not is held against it only together with a date.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import narwhals as nw
from rapidfuzz import fuzz

from mappings.policy import SurvivorshipPolicy
from sync.engine import Engine, Frame
from sync.enrichment import DISAGREES, EXPIRED
from sync.frames import text
from sync.problem import Problem, Severity
from sync.world import INT, World

SHOWN = 20  # accounts named in a problem that is counted
CONTRADICTIONS = 200  # changes of ownership listed one by one
_ALIKE = 90.0  # token-set ratio of two names that may be one organisation
_LEGAL = re.compile(
    r"\b(the|inc|incorporated|llc|l l c|corp|corporation|co|company|ltd|lp|llp|pllc|of|and|health|healthcare|care"
    r"|system|systems|hospital|hospitals|medical|center|centers|holdings?|group|services|network|regional|operations?)\b"
)


def field_problems(doubts: Frame, engine: Engine) -> tuple[Problem, ...]:
    """SOURCES-DISAGREE and VALUE-EXPIRED: one problem a field with how many accounts, and the first of them."""
    flags = [name for name in doubts.collect_schema().names() if name.startswith((DISAGREES, EXPIRED))]
    if not flags:
        return ()
    [counted] = engine.rows(doubts.select(nw.len().alias("accounts"), nw.col(*flags).cast(INT).sum()))
    return tuple(_field_problem(name, doubts, counted, engine) for name in flags if counted[name])


def _field_problem(flag: str, doubts: Frame, counted: Mapping[str, Any], engine: Engine) -> Problem:
    first = doubts.filter(nw.col(flag)).select("account_id").sort("account_id").head(SHOWN)
    refs = tuple(sorted(row["account_id"] for row in engine.rows(first)))
    share = f"{counted[flag]:,} of {counted['accounts']:,} accounts"
    if flag.startswith(DISAGREES):
        code, field, fact = "SOURCES-DISAGREE", flag.removeprefix(DISAGREES), "have sources that differ"
        remedy = "The order of trust in survivorship.yaml decides; correct the source that is wrong"
    else:
        code, field, fact = "VALUE-EXPIRED", flag.removeprefix(EXPIRED), "have no value that is recent enough"
        remedy = "Ask the vendor for a newer profile, or change ttl_days in survivorship.yaml"
    return Problem(code=code, severity=Severity.INFO, subject=field, fact=f"{share} {fact}", remedy=remedy, refs=refs)


def register_problems(world: World, policy: SurvivorshipPolicy, as_of: str, engine: Engine) -> tuple[Problem, ...]:
    """CHOW-CONTRADICTS per hospital whose vendor row ignores a dated sale; SOURCES-DISAGREE for memberships."""
    if world.ownership_facts is None:
        return ()
    told = world.ownership_facts.select(
        *("ccn", "kind", "owner_name", "owner_parent_name", "former_owner_name", "effective_on", "record_key"),
        text(nw.col("feed"), ":", nw.col("file"), ":row ", nw.col("row").cast(nw.String())).alias("told_by"),
    )
    since = (date.fromisoformat(as_of) - timedelta(days=policy.chow_days)).isoformat()
    sales = told.filter(nw.col("kind") == "CHOW", nw.col("effective_on") > since, nw.col("effective_on") <= as_of)
    members = told.filter(nw.col("kind") == "MEMBER", ~nw.col("owner_name").is_null())
    vendors = _vendors(world)
    owners = _owners_by_enrollment(told, sales, engine)
    found = [
        problem
        for row in engine.rows(sales.join(vendors, on="ccn", how="inner"))
        if (problem := _contradiction(row, owners.get(row["record_key"], ()))) is not None
    ]
    found.sort(key=lambda problem: (problem.subject, problem.refs))
    apart = [row for row in engine.rows(members.join(vendors, on="ccn", how="inner")) if not _supports_member(row)]
    return (*found[:CONTRADICTIONS], *_rest(found), *_members_apart(apart))


def _vendors(world: World) -> Frame:
    """Firms with a provider number and a system, and the system they had in the delivery before."""
    before = world.previous_firms.select(
        "feed", "firm_id", nw.col("idn_id").alias("before"), nw.col("as_of").alias("before_as_of")
    )
    named = world.firms.filter(~nw.col("ccn").is_null(), ~nw.col("idn_name").is_null()).select(
        *("feed", "firm_id", "name", "ccn", "idn_id", "idn_name", "idn_parent_name", "updated_on", "as_of"),
        text(nw.col("feed"), ":", nw.col("file"), ":row ", nw.col("row").cast(nw.String())).alias("ref"),
    )
    return named.join(before, on=["feed", "firm_id"], how="left")


def _owners_by_enrollment(told: Frame, sales: Frame, engine: Engine) -> Mapping[str, tuple[str, ...]]:
    """Organisations that a register lists as owners of the buyers: a buyer is often only a legal shell."""
    listed = told.filter(nw.col("kind") == "OWNER", ~nw.col("owner_name").is_null())
    wanted = listed.join(sales.select("record_key").unique(), on="record_key", how="semi")
    found: dict[str, set[str]] = defaultdict(set)
    for row in engine.rows(wanted.select("record_key", "owner_name")):
        found[row["record_key"]].add(row["owner_name"])
    return {key: tuple(sorted(names)) for key, names in found.items()}


def _contradiction(row: Mapping[str, Any], owners: Sequence[str]) -> Problem | None:
    """The problem, where the vendor's system is not the buyer and shows that it has not noticed."""
    systems = [row["idn_name"], row["idn_parent_name"]]
    if _any_alike([row["owner_name"], *owners], systems):
        return None
    day = row["effective_on"]
    is_seller = _any_alike([row["former_owner_name"]], systems)
    same_as_before = row["before"] is not None and row["before"] == row["idn_id"] and row["before_as_of"] < day
    not_touched = (row["updated_on"] or row["as_of"]) < day
    if not (is_seller or same_as_before or not_touched):
        return None
    seller = f"from {row['former_owner_name']} " if row["former_owner_name"] else ""
    fact = (
        f"CMS dates a change of ownership {seller}to {row['owner_name']} on {day}; "
        f"{row['feed']} as of {row['as_of']} still names {row['idn_name']}"
    )
    return Problem(
        code="CHOW-CONTRADICTS",
        severity=Severity.REVIEW,
        subject=row["name"] or row["ccn"],
        fact=fact,
        remedy="Find out who owns it; if the vendor is late, state the new parent in an edges file",
        refs=tuple(sorted((row["ref"], row["told_by"]))),
    )


def _rest(found: Sequence[Problem]) -> tuple[Problem, ...]:
    if len(found) <= CONTRADICTIONS:
        return ()
    fact = f"{len(found) - CONTRADICTIONS:,} more hospitals have a vendor system that a dated sale contradicts"
    remedy = "Work the listed ones first; the rest follows"
    return (Problem(code="CHOW-CONTRADICTS", severity=Severity.REVIEW, subject="~ and more", fact=fact, remedy=remedy),)


def _supports_member(row: Mapping[str, Any]) -> bool:
    return _any_alike([row["owner_name"], row["owner_parent_name"]], [row["idn_name"], row["idn_parent_name"]])


def _members_apart(rows: Sequence[Mapping[str, Any]]) -> tuple[Problem, ...]:
    if not rows:
        return ()
    refs = sorted(f"{row['ref']} / {row['told_by']}" for row in rows)
    fact = f"{len(rows):,} hospitals have a vendor system that is called otherwise in the register"
    remedy = "A register of an earlier year may be behind; look at those with a tier or open opportunities first"
    return (
        Problem(
            code="SOURCES-DISAGREE",
            severity=Severity.INFO,
            subject="health system",
            fact=fact,
            remedy=remedy,
            refs=tuple(refs[:SHOWN]),
        ),
    )


def _any_alike(names: Sequence[str | None], others: Sequence[str | None]) -> bool:
    left = [plain for name in names if name and (plain := _plain(name))]
    right = [plain for name in others if name and (plain := _plain(name))]
    return any(fuzz.token_set_ratio(one, other) >= _ALIKE for one in left for other in right)


def _plain(name: str) -> str:
    """The words that tell organisations apart; all words where none is left."""
    words = " ".join(re.sub(r"[^a-z0-9]+", " ", name.lower()).split())
    return " ".join(_LEGAL.sub(" ", words).split()) or words
