"""One coverage unit, one owner (what a unit is: units.py). What is closed has the owner of its successor.

The steps of the policy are asked in order; the first that names an active person decides for the whole unit. Inactive
and unknown people never own. Where no step names anyone, the owner stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import narwhals as nw

from mappings.policy import RepPolicy, TerritoryPolicy
from sync.engine import Engine, Frame
from sync.frames import cases, certain, conform, first_by, one_of, stack, text
from sync.identity.parties import live
from sync.segmentation.tiers import json_text
from sync.territory.books import best_of_unit, books_of, winning_books
from sync.territory.people import eligible_people, state_owners, territory_of_state
from sync.territory.units import REGIONAL_ROLE, Tree, coverage_units
from sync.world import TEXT, Schema, World

OWNERSHIP: Schema = {
    "account_id": TEXT,
    "unit_account_id": TEXT,  # root of the coverage unit, the account itself where it stands alone
    "owner_email": TEXT,  # the person; null = no step named an active one
    "owner_role": TEXT,  # the person's role on the roster, PRIMARY without a roster; REGIONAL_PRIMARY below a system
    "territory": TEXT,  # territory of the account's own state
    "state": TEXT,
    "rule": TEXT,  # step of the policy that named the owner
    "evidence": TEXT,  # JSON
}
"""One row per account; all accounts of a unit have the same owner."""

_CHOICE: Schema = {"unit": TEXT, "email": TEXT, "rule": TEXT, "because": TEXT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """The tables that owners are chosen from."""

    world: World
    links: Frame  # LINKS
    accounts: Frame  # ACCOUNTS
    hierarchy: Frame  # HIERARCHY
    recorded: Frame | None = None  # ANSWERS that rest on records: regions that decide are units of their own
    gone: Frame | None = None  # account_id, successor_account_id of closed and merged organisations


def assign_owners(
    book: Book, policy: TerritoryPolicy, reps: RepPolicy, engine: Engine, *, as_of: str, winner: Sequence[str] = ()
) -> Frame:
    """OWNERSHIP of every account of the hierarchy on a date. `winner` ranks the owners of books that were merged."""
    people = engine.materialize(eligible_people(book.world, reps, engine))
    tree = Tree(accounts=book.accounts, hierarchy=book.hierarchy, recorded=book.recorded, gone=book.gone)
    units = engine.materialize(coverage_units(tree, policy, engine))
    held = engine.materialize(_held_records(book, units, people, engine))
    books = engine.materialize(books_of(held))
    steps = {
        "named": lambda: _named(book, units, policy, engine),
        "root_owner": lambda: _root_owner(held),
        "merged_books": lambda: winning_books(books, held, book.world, winner, reps, as_of, engine),
        "majority_owner": lambda: _majority_owner(books),
        "state_primary": lambda: _by_state(units, state_owners("PRIMARY", policy, reps), "PRIMARY", engine),
        "state_geo": lambda: _by_state(units, state_owners("GEO", policy, reps), "GEO", engine),
    }
    parts = [_step(steps[name](), name, index) for index, name in enumerate(policy.owner_order)]
    eligible = stack(parts).join(people, on="email", how="inner")
    chosen = engine.materialize(best_of_unit(eligible, ["step", "email"]))
    return engine.materialize(_per_account(units, chosen, territory_of_state(policy, engine)))


def _held_records(book: Book, units: Frame, people: Frame, engine: Engine) -> Frame:
    """Live records with an eligible owner, with their unit, the person and the open pipeline."""
    users = engine.materialize(
        book.world.users.select("connection", nw.col("user_id").alias("owner"), "email").join(
            people.select("email"), on="email", how="semi"
        )
    )
    pipeline = (
        book.world.opportunities.filter(~certain(nw.col("is_closed")), ~nw.col("record_id").is_null())
        .group_by("connection", "record_id")
        .agg(nw.col("amount_cents").sum().alias("open_cents"))
    )
    # Half of all links are a vendor's: left out before the join, they cost it nothing.
    connections = [row["connection"] for row in engine.rows(users.select("connection").unique())]
    linked = book.links.filter(one_of(nw.col("source"), connections)).select(
        nw.col("source").alias("connection"), nw.col("source_id").alias("record_id"), "account_id"
    )
    records = live(book.world.records).select("connection", "record_id", "owner")
    owned = records.join(users, on=["connection", "owner"], how="inner")
    with_unit = owned.join(linked, on=["connection", "record_id"], how="inner").join(
        units.filter(~nw.col("is_gone"), ~nw.col("unit").is_null()).select("account_id", "unit"),
        on="account_id",
        how="inner",
    )
    return with_unit.join(pipeline, on=["connection", "record_id"], how="left").with_columns(
        open_cents=nw.coalesce("open_cents", nw.lit(0))
    )


def _named(book: Book, units: Frame, policy: TerritoryPolicy, engine: Engine) -> Frame:
    """Owners that the policy names for an account, by vendor or record id; the root's own entry comes first."""
    rows = [{"source_id": key, "email": email.lower()} for key, email in sorted(policy.named_accounts.items())]
    if not rows:
        return engine.table([], _CHOICE)
    named = engine.table(rows, {"source_id": TEXT, "email": TEXT})
    linked = named.join(book.links.select("source_id", "account_id"), on="source_id", how="inner")
    members = linked.join(units.select("account_id", "unit"), on="account_id", how="inner").with_columns(
        order=nw.when(nw.col("account_id") == nw.col("unit")).then(nw.lit(0)).otherwise(nw.lit(1))
    )
    first = first_by(members, ["unit"], ["order", "source_id"])
    return first.select("unit", "email", text("named for ", nw.col("source_id")).alias("because"))


def _root_owner(held: Frame) -> Frame:
    """Whoever owns the record of the unit's root; Salesforce first where two CRMs name two people."""
    trust = cases([(nw.col("connection") == "salesforce", 0), (nw.col("connection") == "hubspot", 1)], 2)
    roots = held.filter(nw.col("account_id") == nw.col("unit")).with_columns(trust=trust)
    first = best_of_unit(roots, ["trust", "connection", "record_id"])
    because = text("owns ", nw.col("connection"), ":", nw.col("record_id"), ", the unit's own record")
    return first.select("unit", "email", because.alias("because"))


def _majority_owner(books: Frame) -> Frame:
    """Whoever owns most records of the unit, then the larger open pipeline, then the lower e-mail."""
    first = best_of_unit(books, ["records", "open_cents", "email"], most=["records", "open_cents"])
    because = text("owns most records of the unit: ", nw.col("records").cast(TEXT))
    return first.select("unit", "email", because.alias("because"))


def _by_state(units: Frame, by_state: Mapping[str, str], role: str, engine: Engine) -> Frame:
    """The representative of the root's state; where that is unknown, of the state with most members."""
    if not by_state:
        return engine.table([], _CHOICE)
    rows = [{"unit_state": state, "email": email} for state, email in sorted(by_state.items())]
    owners = engine.table(rows, {"unit_state": TEXT, "email": TEXT})
    counting = units.filter(~nw.col("state").is_null(), ~nw.col("unit").is_null(), ~nw.col("is_gone"))
    known = counting.with_columns(
        is_root=nw.when(nw.col("account_id") == nw.col("unit")).then(nw.lit(1)).otherwise(nw.lit(0))
    )
    counted = known.group_by("unit", "state").agg(nw.len().alias("members"), nw.col("is_root").max())
    first = best_of_unit(counted, ["is_root", "members", "state"], most=["is_root", "members"])
    placed = first.select("unit", nw.col("state").alias("unit_state")).join(owners, on="unit_state", how="inner")
    because = text(f"{role} representative of ", nw.col("unit_state"))
    return placed.select("unit", "email", because.alias("because"))


def _step(choice: Frame, name: str, index: int) -> Frame:
    described = choice.with_columns(nw.lit(name).alias("rule"))
    return conform(described, _CHOICE).with_columns(nw.lit(index).cast(nw.Int64()).alias("step"))


def _per_account(units: Frame, chosen: Frame, territories: Frame) -> Frame:
    """OWNERSHIP. A unit's evidence is written once: all its accounts show the same text."""
    system = json_text(nw.coalesce("unit_name", nw.lit("")))
    because = text(
        '{"unit":"', system, '","owner":"', nw.col("email"), '","because":"', json_text(nw.col("because")), '"}'
    )
    nobody = text('{"unit":"', system, '","owner":"no step of the policy names an active person"}')
    named = units.group_by("unit").agg(nw.col("unit_name").max()).join(chosen, on="unit", how="left")
    told = named.with_columns(evidence=nw.when(nw.col("email").is_null()).then(nobody).otherwise(because))
    homeless = text('{"unit":"","owner":"no step of the policy names an active person"}')
    joined = units.join(told.drop("unit_name"), on="unit", how="left").join(territories, on="state", how="left")
    regional = nw.col("is_regional") & ~nw.col("email").is_null()
    return conform(
        joined.with_columns(
            unit_account_id=nw.col("unit"),
            owner_email=nw.col("email"),
            owner_role=cases([(regional, REGIONAL_ROLE)], nw.col("owner_role")),
            evidence=nw.coalesce(nw.col("evidence"), homeless),
        ),
        OWNERSHIP,
    )
