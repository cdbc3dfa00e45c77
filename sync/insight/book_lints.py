"""Lints of the book of business: several reps on one system, tiers that only measure size, cuts too small."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import narwhals as nw

from sync.engine import Engine
from sync.frames import certain, count_where
from sync.identity.parties import live
from sync.insight.lint import Level, Lint, Looked, Row, evidence
from sync.insight.statistics import rank_correlation
from sync.segmentation.members import with_traits
from sync.world import INT

_NOT_PRIMARY = ("OVERLAY", "ACTIVATION", "INSIDE", "MANAGER")
_GROUP_NAMES = "vizient|premier inc|healthtrust|intalere|medassets|group purchasing"
_MIN_PAIRS = 30


# --- FM1: several reps on one system ----------------------------------------------------------------------------------


def multi_rep(looked: Looked, engine: Engine) -> Lint:
    """More than one person who owns records of one coverage unit.

    Owning the record makes a primary, whatever the person is otherwise; specialists, activation, inside sales and
    managers work along and are not counted. Somebody who left still owns what nobody took over, and is marked.
    """
    found = looked.found
    roles = {rep.email.lower(): rep.role for rep in found.policies.reps.reps}
    others = sorted(email for email, role in roles.items() if role in _NOT_PRIMARY)
    links = found.links.select(
        nw.col("source").alias("connection"), nw.col("source_id").alias("record_id"), "account_id"
    )
    users = found.world.users.select("connection", nw.col("user_id").alias("owner"), "email", "is_active")
    units = found.ownership.select("account_id", "unit_account_id")
    owned = (
        live(found.world.records)
        .select("connection", "record_id", "owner")
        .join(users, on=["connection", "owner"], how="inner")
        .join(links, on=["connection", "record_id"], how="inner")
        .join(units, on="account_id", how="inner")
    )
    primary = owned.filter(~certain(nw.col("email").is_in(others))) if others else owned
    books = primary.group_by("unit_account_id", "email").agg(
        nw.len().cast(INT).alias("records"), count_where(nw.col("is_active")).alias("active")
    )
    several = books.with_columns(reps=nw.len().over("unit_account_id")).filter(nw.col("reps") > 1)
    names = found.accounts.select(nw.col("account_id").alias("unit_account_id"), "name")
    per_unit: dict[str, list[Row]] = defaultdict(list)
    for row in engine.rows(several.join(names, on="unit_account_id", how="left")):
        per_unit[row["unit_account_id"]].append(row)
    rows = tuple(_multi_rep_row(unit, people) for unit, people in sorted(per_unit.items()))
    return Lint(
        id="FM1-MULTI-REP",
        level=Level.ERROR,
        title="One system, several primary owners",
        rows=rows,
        fix="platbook plan && platbook show --where 'group=ownership', then platbook approve",
    )


def _multi_rep_row(unit: str, people: Sequence[Row]) -> Row:
    ordered = sorted(people, key=lambda row: (-row["records"], row["email"] or ""))
    told = ", ".join(f"{row['email']} ({row['records']}{'' if row['active'] else ', not active'})" for row in ordered)
    return {
        "subject": unit,
        "system": people[0]["name"] or unit,
        "reps": len(people),
        "active": sum(bool(row["active"]) for row in people),
        "owners": told,
        "records": sum(row["records"] for row in people),
    }


def geo_affiliated(looked: Looked, engine: Engine) -> Lint:
    """Territories in which most hospitals belong to a system that sits in another one."""
    kinds = with_traits(looked.found.accounts).select("account_id", "kind")
    places = looked.standing.select(nw.col("account_id").alias("system_account_id"), nw.col("territory").alias("seat"))
    table = looked.standing.join(kinds, on="account_id", how="left").join(places, on="system_account_id", how="left")
    hospitals = table.filter(certain(nw.col("kind") == "HOSPITAL"), ~nw.col("territory").is_null())
    elsewhere = certain(nw.col("seat") != nw.col("territory")) & (nw.col("system_account_id") != nw.col("account_id"))
    counted = hospitals.group_by("territory").agg(
        nw.len().cast(INT).alias("hospitals"), count_where(elsewhere).alias("elsewhere")
    )
    limit = looked.mappings.policies.kpis.geo_affiliated_from_bp
    rows = tuple(
        {
            "subject": row["territory"],
            "hospitals": row["hospitals"],
            "system_elsewhere": row["elsewhere"],
            "share_pct": round(100 * row["elsewhere"] / row["hospitals"], 1),
        }
        for row in sorted(engine.rows(counted), key=lambda row: row["territory"])
        if row["elsewhere"] * 10000 >= row["hospitals"] * limit
    )
    return Lint(
        id="FM1-GEO-AFFILIATED",
        level=Level.WARN,
        title="Territories full of hospitals whose system sits elsewhere",
        rows=rows,
        fix="name the systems under named_accounts in territories.yaml, then platbook plan",
    )


def geo_owner(looked: Looked, engine: Engine) -> Lint:
    """Members of a system that a geographic representative owns in a CRM."""
    geo = sorted(rep.email.lower() for rep in looked.found.policies.reps.reps if rep.role == "GEO")
    member = nw.col("system_account_id") != nw.col("account_id")
    owned = certain(nw.col("owner_email").is_in(geo)) if geo else nw.col("owner_email").is_null() & member & ~member
    rows = evidence(looked.standing.filter(member, owned), ("name", "system_name", "owner_email", "territory"), engine)
    return Lint(
        id="FM1-GEO-OWNER",
        level=Level.WARN,
        title="Members of a system owned by a geographic representative",
        rows=rows,
        fix="platbook show --where 'group=ownership'; site-level decisions need an authority record",
    )


# --- FM2: tiers that only measure size --------------------------------------------------------------------------------


def top_three(looked: Looked, engine: Engine) -> Lint:
    """First-tier accounts without three ranked service lines."""
    first = looked.mappings.policies.tiers.tiers[0].id
    ranked = [~nw.col(f"line_{place}").is_null() for place in (1, 2, 3)]
    open_ = looked.found.profiles.filter(
        nw.col("account_id") == nw.col("holder_account_id"),
        certain(nw.col("account_tier") == first),
        ~(ranked[0] & ranked[1] & ranked[2]),
    )
    return Lint(
        id="FM2-TOP3",
        level=Level.WARN,
        title=f"{first} accounts without three ranked service lines",
        rows=evidence(open_, ("name", "line_1", "line_2", "line_3"), engine),
        fix="add the lines' shares of revenue to the feed, then platbook feeds take FILE && platbook plan",
    )


def size_proxy(looked: Looked, engine: Engine) -> Lint:
    """Tiers that say little more than the number of beds."""
    order = {tier.id: -place for place, tier in enumerate(looked.mappings.policies.tiers.tiers)}
    pairs = [
        (float(beds), float(order.get(tier, -len(order))))
        for beds, tier in _of_deciding(looked, "account_tier", engine)
    ]
    return _size_lint(looked, pairs, "FM2-SIZE-PROXY", "The tiers follow the number of beds")


def score_size(looked: Looked, engine: Engine) -> Lint:
    """A score that says little more than the number of beds."""
    pairs = [(float(beds), float(tenths)) for beds, tenths in _of_deciding(looked, "score_tenths", engine)]
    return _size_lint(looked, pairs, "SCORE-SIZE", "The score follows the number of beds")


def _of_deciding(looked: Looked, column: str, engine: Engine) -> Iterator[tuple[int, Any]]:
    decides = nw.col("account_id") == nw.col("holder_account_id")
    known = looked.standing.filter(decides, ~nw.col("beds").is_null(), nw.col("beds") > 0, ~nw.col(column).is_null())
    for row in engine.rows(known.select("beds", column)):
        yield row["beds"], row[column]


def _size_lint(looked: Looked, pairs: list[tuple[float, float]], id_: str, title: str) -> Lint:
    limit = looked.mappings.policies.kpis.size_correlation_bp
    found = rank_correlation(pairs) if len(pairs) >= _MIN_PAIRS else None
    over = found is not None and found * 10000 > limit
    rows = ({"subject": id_, "accounts": len(pairs), "rank_correlation": round(found or 0, 3)},) if over else ()
    note = "" if len(pairs) >= _MIN_PAIRS else f"{len(pairs)} accounts with known beds; {_MIN_PAIRS} are needed"
    return Lint(
        id=id_,
        level=Level.WARN,
        title=title,
        rows=rows,
        note=note,
        fix="segment by strength in the product's service lines: weights in scores.yaml",
    )


# --- FM4: cut too small -----------------------------------------------------------------------------------------------


def segments(looked: Looked, engine: Engine) -> Lint:
    """More segments with territories than people can tell apart."""
    policy = looked.mappings.policies.segments
    bearing = [one for one in policy.segments if one.carries_territory and one.status == "active"]
    over = len(bearing) > policy.limits.max_territory_bearing
    rows = tuple({"subject": one.id, "name": one.name, "version": one.version} for one in bearing) if over else ()
    return Lint(
        id="FM4-SEGMENTS",
        level=Level.WARN,
        title="Too many segments carry territories",
        rows=rows,
        fix="set carries_territory: false for cohorts in segments.yaml",
    )


def territories(looked: Looked, engine: Engine) -> Lint:
    """Territories with too few accounts to live from."""
    policies = looked.mappings.policies
    counts = {t.id: 0 for t in policies.territories.territories if t.active}
    open_ = (
        looked.standing.filter(nw.col("status") != "CLOSED").group_by("territory").agg(nw.len().cast(INT).alias("n"))
    )
    counts |= {row["territory"]: row["n"] for row in engine.rows(open_) if row["territory"] in counts}
    least = policies.kpis.min_territory_accounts
    rows = tuple({"subject": id_, "accounts": n, "at_least": least} for id_, n in sorted(counts.items()) if n < least)
    return Lint(
        id="FM4-MIN-ACCOUNTS",
        level=Level.ERROR,
        title="Territories with too few accounts",
        rows=rows,
        fix="join territories in territories.yaml, then platbook plan",
    )


def differentiation(looked: Looked, engine: Engine) -> Lint:
    """Segments that win alike."""
    return _from_kpi(
        looked,
        "R54",
        "NOT-DIFFERENTIATED",
        "Segments win alike",
        Level.WARN,
        "merge segments that win alike, or find what really tells them apart, in segments.yaml",
    )


def tier_evenness(looked: Looked, engine: Engine) -> Lint:
    """First-tier accounts heaped in one territory."""
    over = f" {looked.mappings.policies.kpis.evenness_max_pct} %"
    return _from_kpi(
        looked,
        "R52",
        "TIER1-UNEVEN",
        f"First-tier accounts over{over} above the mean in one territory",
        Level.WARN,
        "move states between territories in territories.yaml",
        word="uneven",
    )


def _from_kpi(looked: Looked, kpi: str, id_: str, title: str, level: Level, fix: str, *, word: str = "") -> Lint:
    told = next((one for one in looked.kpis if one.id == kpi), None)
    fires = told is not None and (word or id_) in told.line
    rows = ({"subject": id_, "measured": told.line},) if fires and told is not None else ()
    note = told.line if told is not None and not fires else ""
    return Lint(id=id_, level=level, title=title, rows=rows, fix=fix, note=note)
