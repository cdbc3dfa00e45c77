"""Generated worlds of any size: the same number gives the same world, byte for byte.

Four levels (system, division, hospital, site), firms of 30 filled columns, one Salesforce record per firm and a HubSpot
record for every tenth. Owners, parents, tiers and the rest were agreed before; then 2 % of the firms moved to another
system, so that a run has something to find.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl

from mappings.canonical import MANAGED
from mappings.policy import Mappings
from sync import reconcile as core
from sync.engine import Engine, Frame
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

AS_OF = "2026-01-15"
PER_SYSTEM = 50  # firms of one system: itself, a division per 24, hospitals, and two sites per hospital
CHANGED_SHARE = 0.02
_STATES = np.array(["KS", "IA", "NE", "MO", "OK", "TX", "CO", "AR"])
_WORDS = np.array(["Mercy", "Saint Mary", "Prairie", "Lakeside", "General", "Valley", "Providence", "Union"])
_DTYPES = {"String": pl.String, "Int64": pl.Int64, "Boolean": pl.Boolean}


def tables(accounts: int, *, seed: int = 7) -> dict[str, pl.DataFrame]:
    """Firms, records and the rest of a world before anything was agreed."""
    random = np.random.default_rng(seed)
    firms = _firms(accounts, random)
    records = _records(firms, random)
    empty = {
        "facts": FACTS,
        "opportunities": OPPORTUNITIES,
        "team_members": TEAM_MEMBERS,
        "field_changes": FIELD_CHANGES,
        "crosswalk": CROSSWALK,
        "agreed": AGREED,
        "overrides": OVERRIDES,
        "holds": HOLDS,
        "previous_firms": FIRMS,
    }
    none = {name: conformed(pl.DataFrame(), schema).clear() for name, schema in empty.items()}
    return {"firms": firms, "records": records, "users": _users(), **none}


def settled(before: dict[str, pl.DataFrame], mappings: Mappings, engine: Engine) -> dict[str, pl.DataFrame]:
    """The world after everything was agreed and written, and after 2 % of the firms moved."""
    wanted = _wanted(world_of(before), mappings, engine)
    key = ["connection", "record_id"]
    values = wanted.select(*key, *MANAGED)
    records = before["records"].drop(*MANAGED).join(values, on=key, how="left")
    kinds = [
        pl.when(pl.col(name).is_null()).then(pl.lit("empty")).otherwise(pl.lit("value")).alias(f"{name}__kind")
        for name in MANAGED
    ]
    agreed = conformed(values.with_columns(kinds), AGREED)
    moved = _moved(before["firms"])
    return {
        **before,
        "records": conformed(records, RECORDS),
        "agreed": agreed,
        "previous_firms": before["firms"],
        "firms": moved,
    }


def world_of(made: Mapping[str, pl.DataFrame]) -> World:
    """A world of Polars tables."""
    frames: dict[str, Frame] = {name: nw.from_native(table.lazy()) for name, table in made.items()}
    return World(**frames)


def _wanted(world: World, mappings: Mappings, engine: Engine) -> pl.DataFrame:
    """What the rules want of every record of a world."""
    findings, _ = core.find_out(world, mappings, AS_OF, engine)
    desired = core.propose(world, findings, mappings.policies, engine).values
    collected: pl.DataFrame = engine.materialize(desired).to_native().collect()
    return collected


def _firms(accounts: int, random: np.random.Generator) -> pl.DataFrame:
    number = np.arange(accounts)
    place, home = number % PER_SYSTEM, number - number % PER_SYSTEM
    division = home + 1 + 24 * (place >= 25)
    division = np.minimum(division, accounts - 1)
    hospital = np.maximum(division + 1, number - (place % 3))
    is_system, is_division = place == 0, (place == 1) | (place == 25)
    is_site = ~is_system & ~is_division & (place % 3 != 0) & (hospital < number) & (hospital > division)
    parent = np.select([is_system, is_division, is_site], [number, home, hospital], division)
    grand = np.select([is_system, is_division, is_site], [number, home, division], home)
    own = is_system | is_division
    idn = np.where(own, number, parent)
    above = np.where(own, parent, grand)
    kind = np.select([own, is_site], ["IDN", "Home Health Agency"], "Hospital")
    state = _STATES[random.integers(0, len(_STATES), accounts)]
    names = np.char.add(np.char.add(_WORDS[number % 8], " "), np.char.add(_WORDS[(number // 8) % 8], " Hospital "))
    zips = np.char.zfill((10000 + number % 80000).astype(str), 5)
    medicare, medicaid = random.integers(2000, 5000, accounts), random.integers(500, 3000, accounts)
    text = number.astype(str)
    return conformed(
        pl.DataFrame(
            {
                "feed": np.full(accounts, "definitive"),
                "firm_id": text,
                "name": np.char.add(names, text),
                "firm_type": kind,
                "hospital_type": np.where(kind == "Hospital", "Short Term Acute Care Hospital", ""),
                "street": np.char.add(text, " Main Street"),
                "city": np.char.add("City ", (number % 900).astype(str)),
                "state": state,
                "zip5": zips,
                "phone": (2_000_000_000 + number).astype(str),
                "domain": np.char.add(np.char.add("h", text), ".example"),
                "idn_id": idn.astype(str),
                "idn_name": np.char.add("System ", idn.astype(str)),
                "idn_parent_id": above.astype(str),
                "idn_parent_name": np.char.add("System ", above.astype(str)),
                "staffed_beds": random.integers(10, 600, accounts),
                "discharges": random.integers(100, 20000, accounts),
                "net_patient_revenue_cents": random.integers(10**8, 10**11, accounts),
                "medicare_days_bp": medicare,
                "medicaid_days_bp": medicaid,
                "other_days_bp": 10000 - medicare - medicaid,
                "ehr_vendor": np.full(accounts, "Epic"),
                "gpo": np.full(accounts, "A Purchasing Group"),
                "oncology_share_bp": random.integers(0, 3000, accounts),
                "cardiology_share_bp": random.integers(0, 3000, accounts),
                "orthopedics_share_bp": random.integers(0, 3000, accounts),
                "primary_care_share_bp": random.integers(0, 3000, accounts),
                "is_rural": random.random(accounts) < 0.3,
                "is_critical_access": np.zeros(accounts, dtype=bool),
                "updated_on": np.full(accounts, "2025-12-01"),
                "as_of": np.full(accounts, "2026-01-01"),
                "file": np.full(accounts, "generated.csv"),
                "row": number + 2,
            }
        ),
        FIRMS,
    )


def _records(firms: pl.DataFrame, random: np.random.Generator) -> pl.DataFrame:
    """A Salesforce record per firm, a HubSpot record per tenth; a third knows its vendor id, a third a domain."""
    count = firms.height
    pick = random.integers(0, 3, count)
    owner = pl.Series(np.char.add("U", (np.arange(count) // PER_SYSTEM % 40).astype(str)))
    base = firms.select(
        pl.lit("salesforce").alias("connection"),
        ("S" + pl.col("firm_id").str.zfill(17)).alias("record_id"),
        pl.col("name").str.to_uppercase().alias("name"),
        pl.col("firm_type").alias("account_type"),
        *("street", "city", "state", "zip5", "phone"),
        pl.when(pl.Series(pick) == 1).then(pl.col("domain")).alias("domain"),
        pl.when(pl.Series(pick) == 0).then(pl.col("firm_id")).alias("definitive_id"),
        owner.alias("owner"),
        pl.lit(value=False).alias("is_deleted"),
        pl.lit("2026-01-01T00:00:00.000Z").alias("version"),
    )
    tenth = base.gather_every(10).with_columns(
        connection=pl.lit("hubspot"),
        record_id=pl.col("record_id").str.replace("S", "9"),
        owner=pl.lit("H") + pl.col("owner"),
    )
    return conformed(pl.concat([base, tenth]), RECORDS)


def _moved(firms: pl.DataFrame) -> pl.DataFrame:
    """Every fiftieth firm that is no system under the next system over."""
    count = firms.height
    number = np.arange(count)
    target = ((number // PER_SYSTEM + 1) * PER_SYSTEM) % (count - count % PER_SYSTEM or count)
    chosen = pl.Series((number % round(1 / CHANGED_SHARE) == 7) & (number != target))
    to, name = pl.Series(target.astype(str)), pl.Series(np.char.add("System ", target.astype(str)))
    return firms.with_columns(
        pl.when(chosen).then(to).otherwise(pl.col("idn_id")).alias("idn_id"),
        pl.when(chosen).then(to).otherwise(pl.col("idn_parent_id")).alias("idn_parent_id"),
        pl.when(chosen).then(name).otherwise(pl.col("idn_name")).alias("idn_name"),
        pl.when(chosen).then(name).otherwise(pl.col("idn_parent_name")).alias("idn_parent_name"),
    )


def _users() -> pl.DataFrame:
    rows = [
        {"connection": c, "user_id": f"{p}{i}", "email": f"rep{i}@x.example", "name": f"Rep {i}", "is_active": True}
        for c, p in (("salesforce", "U"), ("hubspot", "HU"))
        for i in range(40)
    ]
    return conformed(pl.DataFrame(rows), USERS)


def conformed(frame: pl.DataFrame, schema: Mapping[str, Any]) -> pl.DataFrame:
    present = set(frame.columns)
    return frame.select(
        (pl.col(name) if name in present else pl.lit(None)).cast(_DTYPES[type(dtype).__name__]).alias(name)
        for name, dtype in schema.items()
    )
