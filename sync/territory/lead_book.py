"""Everything leads of one day are routed by, gathered once from a world and what was found out about it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import narwhals as nw

from mappings.expressions import Scalar
from mappings.leads import Lead
from mappings.policy import Policies
from sync.authority.archetypes import archetypes
from sync.authority.records import authority_records, record_ids
from sync.engine import Engine, Frame
from sync.frames import certain, first_by
from sync.hierarchy.forest import Forest, Linked
from sync.hierarchy.status import gone
from sync.identity.parties import live
from sync.proposals import Findings
from sync.segmentation.holders import confirmed_facts
from sync.territory.capacity import Colleague, capacity_on
from sync.territory.deciding import AuthorityRecord
from sync.territory.leads import Basis, Inputs, Place
from sync.territory.matching import Known, Register
from sync.territory.people import DEFAULT_ROLE, state_owners
from sync.territory.routing import route, routing_facts, with_motion, with_routing_facts
from sync.world import World

_OWNERSHIP = ("*", "ownership", "owner")
"""Groups of fields whose hold keeps the owner."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """A world and what the stages found out about it on one day."""

    world: World
    found: Findings
    forest: Forest
    policies: Policies
    as_of: str


class LeadBook:
    """The accounts by which leads of one day are routed."""

    def __init__(self, sources: Sources, engine: Engine) -> None:
        self._sources, self._engine = sources, engine
        policies = sources.policies
        self.as_of = sources.as_of
        self._rows = {row["account_id"]: row for row in engine.rows(_table(sources, engine))}
        self._crm = _by_account(engine.rows(_crm_rows(sources, engine)))
        self._authority = _by_account(engine.rows(_records(sources, engine)), key="org")
        known = [self._known(row) for row in self._rows.values()]
        self._register = Register(known)
        self.basis = Basis(
            policy=policies.leads,
            authority=policies.authority,
            conflicts=policies.holds.conflicts,
            people=_people(sources, engine),
            geo=state_owners("GEO", policies.territories, policies.reps),
        )

    @property
    def open_deals(self) -> dict[str, int]:
        """Open opportunities by the e-mail of who works them."""
        world = self._sources.world
        users = world.users.select("connection", nw.col("user_id").alias("owner"), "email")
        open_ones = world.opportunities.filter(~certain(nw.col("is_closed")))
        counted = open_ones.join(users, on=["connection", "owner"], how="inner").group_by("email").agg(nw.len())
        return {row["email"]: int(row["len"]) for row in self._engine.rows(counted) if row["email"]}

    def inputs(self, lead: Lead, work: Mapping[str, int], assumed: Mapping[str, Scalar] | None = None) -> Inputs:
        """What the decision on one lead rests on: its candidates and everything about them."""
        candidates = self._register.candidates(lead, self.basis.policy.match)
        places: dict[str, Place] = {}
        waiting = [one.account_id for one in candidates]
        while waiting:
            account_id = waiting.pop()
            if account_id in places or account_id not in self._rows:
                continue
            place = places[account_id] = self._place(account_id)
            waiting += [place.successor] if place.successor else []
            waiting += [record.holder_id for record in place.authority if record.holder_id]
        return Inputs(
            lead=lead,
            as_of=self.as_of,
            candidates=candidates,
            places=dict(sorted(places.items())),
            work=dict(sorted(work.items())),
            assumed=dict(assumed or {}),
        )

    def account_id(self, wanted: str) -> str:
        """The account of an account, record or vendor id. Raises KeyError."""
        if wanted in self._rows:
            return wanted
        named = {row["source_id"]: account for account, rows in self._crm.items() for row in rows}
        return str(named[wanted])

    def under(self, inputs: Inputs, system: str) -> Inputs:
        """The same lead, if its candidates belonged to the system of an account. Raises KeyError for an unknown one."""
        above = self._place(system)
        unit = self._place(above.unit) if above.unit in self._rows else above
        own = {one.account_id for one in inputs.candidates}
        moved = {
            name: replace(
                place,
                unit=unit.unit,
                in_system=True,
                system_name=unit.system_name,
                archetype=unit.archetype if unit.in_system else "COMMUNITY_SYSTEM",
                owner=unit.owner,
                system_owner=unit.system_owner,
                authority=tuple(record for record in place.authority if record.distance == 0)
                + tuple(replace(record, distance=record.distance + 1) for record in unit.authority),
            )
            if name in own
            else place
            for name, place in inputs.places.items()
        }
        candidates = tuple(replace(one, unit=unit.unit) for one in inputs.candidates)
        return replace(inputs, places={**moved, unit.account_id: unit}, candidates=candidates)

    def _known(self, row: Row) -> Known:
        crm = self._crm.get(row["account_id"], ())
        heir = self._rows.get(row["successor_account_id"] or "", row)
        activity = [one["modified_at"] for one in crm if one["modified_at"]]
        return Known(
            account_id=row["account_id"],
            name=row["name"] or "",
            unit=heir["unit_account_id"] or heir["account_id"],
            former_name=row["former_name"],
            **{name: row[name] for name in ("state", "zip5", "phone", "domain", "ccn", "npi")},
            aliases=tuple(sorted({one["source_id"] for one in crm} | {f"{o['source']}:{o['source_id']}" for o in crm})),
            open_opportunity=any(one["open_deals"] for one in crm),
            customer=any(one["won_deals"] for one in crm),
            last_activity=max(activity, default=None),
        )

    def _place(self, account_id: str) -> Place:
        row, crm = self._rows[account_id], self._crm.get(account_id, ())
        unit = row["unit_account_id"] or account_id
        held = sorted((one["hold_kind"], one["hold_reason"] or "") for one in crm if one["hold_kind"])
        owners = [one["crm_owner"] for one in sorted(crm, key=_trust) if one["crm_owner"]]
        of_unit = self._rows.get(unit)
        return Place(
            account_id=account_id,
            name=row["name"] or account_id,
            unit=unit,
            in_system=bool(row["parent_account_id"]) or row["members"] > 1,
            system_name=row["system_name"],
            state=row["state"],
            tier=row["tier"],
            org_type=row["org_type"],
            archetype=row["archetype"],
            owner=row["owner_email"],
            system_owner=of_unit["owner_email"] if of_unit else row["owner_email"],
            record_owner=next(iter(owners), None),
            hold_kind=held[0][0] if held else None,
            hold_reason=held[0][1] if held else None,
            motion=row["motion"],
            customer=any(one["won_deals"] for one in crm),
            open_opportunity=any(one["open_deals"] for one in crm),
            queue=row["routing_queue"],
            closed_on=(row["since"] or self.as_of) if row["is_gone"] else None,
            successor=row["successor_account_id"],
            authority=tuple(self._records_of(row)),
        )

    def _records_of(self, row: Row) -> Iterable[AuthorityRecord]:
        """Records at the account and at everything above it, nearest first."""
        path = [one for one in (row["path"] or row["account_id"]).split("/") if one]
        for distance, org in enumerate(reversed(path)):
            for record in sorted(self._authority.get(org, ()), key=lambda one: str(one["ref"])):
                yield AuthorityRecord(
                    org_id=org,
                    distance=distance,
                    holder_id=record["holder"] or (org if record["level"] == "REGION" else None),
                    ended=bool(record["is_expired"]),
                    **{
                        name: record[name]
                        for name in (
                            *("level", "function", "service_line", "category", "delegates", "spend_limit_cents"),
                            *("valid_from", "valid_to", "trust", "confidence_bp", "ref"),
                        )
                    },
                )


def _table(sources: Sources, engine: Engine) -> Frame:
    """One row per account: names and keys, system, tier, owner, motion, queue, and what became of it."""
    found, policies = sources.found, sources.policies
    linked = _linked(sources)
    kinds = archetypes(sources.forest, linked.accounts, int(policies.tiers.classify["idn"]["min_hospitals"]))
    tree = found.hierarchy.select("account_id", "parent_account_id", "system_account_id", "system_name", "path")
    sizes = tree.group_by("system_account_id").agg(nw.len().cast(nw.Int64()).alias("members"))
    own = found.accounts.select(
        *("account_id", "name", "former_name", "state", "zip5", "phone", "domain", "ccn", "npi")
    )
    tiers = found.tiers.select("account_id", "holder_account_id", "tier", "tier_status")
    asked = sorted({*routing_facts(policies.routing), "org_type"})
    bounds = [f"{fact}{end}" for fact in asked for end in ("__lo", "__hi")]
    facts = found.facts.select(nw.col("account_id").alias("holder_account_id"), *bounds)
    owners = found.ownership.select("account_id", "unit_account_id", "owner_email", "owner_role")
    flag = nw.lit(value=True)
    gone_ones = sources.forest.status.join(
        gone(sources.forest.status).select("account_id"), on="account_id", how="semi"
    )
    over = gone_ones.select("account_id", "since", "successor_account_id", flag.alias("is_gone"))
    table = (
        tree.join(sizes, on="system_account_id", how="left")
        .join(own, on="account_id", how="left")
        .join(tiers, on="account_id", how="left")
        .join(facts, on="holder_account_id", how="left")
        .join(owners, on="account_id", how="left")
        .join(kinds.select("account_id", "archetype"), on="account_id", how="left")
        .join(over, on="account_id", how="left")
    )
    known = engine.materialize(with_motion(table, found.profiles))
    routed = route(with_routing_facts(known), policies.routing)
    org_type = nw.when(nw.col("org_type__lo") == nw.col("org_type__hi")).then(nw.col("org_type__lo"))
    named = routed.with_columns(org_type=org_type, name=nw.coalesce("name", "system_name"))
    return engine.materialize(named)


def _linked(sources: Sources) -> Linked:
    confirmed = confirmed_facts(sources.world, sources.found.links, sources.as_of)
    return Linked(world=sources.world, links=sources.found.links, accounts=sources.found.accounts, confirmed=confirmed)


def _records(sources: Sources, engine: Engine) -> Frame:
    """RECORDS of who decides."""
    linked = _linked(sources)
    ids = record_ids(linked.world, linked.links, sources.forest.feed.stubs, engine)
    return authority_records(linked.world, linked.confirmed, ids, sources.policies.authority, sources.as_of, engine)


def _crm_rows(sources: Sources, engine: Engine) -> Frame:
    """One row per link: who owns the record, what holds it, and its deals; vendors' rows have none of these."""
    world = sources.world
    users = world.users.select("connection", nw.col("user_id").alias("owner"), nw.col("email").alias("crm_owner"))
    records = live(world.records).select("connection", "record_id", "owner", "modified_at")
    standing = world.holds.filter(
        nw.col("group").is_in(list(_OWNERSHIP)), nw.coalesce(nw.col("until") >= sources.as_of, nw.lit(value=True))
    )
    holds = first_by(standing, ["connection", "record_id"], ["kind", "reason"]).select(
        "connection", "record_id", nw.col("kind").alias("hold_kind"), nw.col("reason").alias("hold_reason")
    )
    one = nw.lit(1)
    deals = (
        world.opportunities.with_columns(
            is_open=nw.when(~certain(nw.col("is_closed"))).then(one).otherwise(nw.lit(0)),
            is_win=nw.when(certain(nw.col("is_won"))).then(one).otherwise(nw.lit(0)),
        )
        .group_by("connection", "record_id")
        .agg(nw.col("is_open").sum().alias("open_deals"), nw.col("is_win").sum().alias("won_deals"))
    )
    key = ["connection", "record_id"]
    about = (
        records.join(users, on=["connection", "owner"], how="left")
        .join(holds, on=key, how="left")
        .join(deals, on=key, how="left")
    ).rename({"connection": "source", "record_id": "source_id"})
    links = sources.found.links.select("account_id", "source", "source_id")
    return engine.materialize(links.join(about, on=["source", "source_id"], how="left"))


def _by_account(rows: Iterable[Row], key: str = "account_id") -> dict[str, tuple[Row, ...]]:
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row[key]].append(row)
    return {name: tuple(found) for name, found in grouped.items()}


def _trust(row: Row) -> tuple[int, str, str]:
    """Salesforce first where two CRMs name two people."""
    return (0 if row["source"] == "salesforce" else 1, row["source"], row["source_id"])


def _people(sources: Sources, engine: Engine) -> dict[str, Colleague]:
    """The roster with whether each is an active user; without a roster every active user."""
    world, reps = sources.world, sources.policies.reps.reps
    active = world.users.filter(certain(nw.col("is_active")), ~nw.col("email").is_null()).select("email").unique()
    emails = sorted(row["email"] for row in engine.rows(active))
    if not reps:
        return {email: Colleague(email=email, role=DEFAULT_ROLE) for email in emails}
    present = set(emails)
    return {
        rep.email.lower(): Colleague(
            email=rep.email.lower(),
            role=rep.role,
            active=rep.active and rep.email.lower() in present,
            states=rep.states,
            lines=tuple(line.upper() for line in rep.service_lines),
            leave_from=rep.leave_from,
            leave_to=rep.leave_to,
            delegate=rep.delegate.lower(),
            manager=rep.manager.lower(),
            capacity=capacity_on(rep, sources.as_of, sources.policies.reps.ramp_capacity_bp),
        )
        for rep in sorted(reps, key=lambda rep: rep.email.lower())
    }
