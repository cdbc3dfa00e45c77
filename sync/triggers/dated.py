"""Events that dated statements make: contracts and memberships, closures and successors, law, and people."""

from __future__ import annotations

from collections.abc import Iterable

import narwhals as nw

from mappings.policy import Regulation, RepPolicy
from sync.engine import Engine, Frame
from sync.frames import cases, certain, conform, null, one_of, stack, text
from sync.hierarchy.forest import Forest
from sync.identity.parties import live
from sync.triggers.events import RAW
from sync.world import TEXT, World

_FACTS = {"gpo_contract": "PAYER_CONTRACT", "capitated": "PAYER_CONTRACT", "aco": "PAYER_CONTRACT"}
_MEMBERSHIPS = ("GPO_MEMBER", "ACO_PARTICIPANT", "CIN_MEMBER", "PHO_MEMBER")


def fact_events(confirmed: Frame, since: str, as_of: str) -> Frame:
    """Contracts and strengths that began within the window, and contracts that ended."""
    line = nw.col("fact").str.ends_with("_strength")
    known = [(nw.col("fact") == fact, kind) for fact, kind in _FACTS.items()]
    kind = cases([*known, (line, "SERVICE_LINE_CHANGE")], null(TEXT))
    rows = confirmed.with_columns(kind=kind).filter(~nw.col("kind").is_null())
    value = text(nw.col("fact"), " ", nw.col("category"), " ", nw.col("value"))
    began = _within(rows, "valid_from", since, as_of).with_columns(
        detail=text(nw.col("fact"), "_began"), effective_date=nw.col("valid_from"), old=null(TEXT), new=value
    )
    ended = _within(rows, "valid_to", since, as_of).with_columns(
        detail=text(nw.col("fact"), "_ended"), effective_date=nw.col("valid_to"), old=value, new=null(TEXT)
    )
    return stack([_raw(frame.with_columns(source_ref=nw.col("fact_source"))) for frame in (began, ended)])


def membership_events(forest: Forest, since: str, as_of: str, engine: Engine) -> Frame:
    """Memberships in purchasing groups, care organisations and networks that began or ended."""
    if forest.stated is None:
        return engine.table([], RAW)
    loose = forest.stated.edges.filter(one_of(nw.col("kind"), _MEMBERSHIPS), nw.col("state") != "ANNOUNCED")
    names = forest.nodes.select(nw.col("account_id").alias("parent"), nw.coalesce("name", "account_id").alias("other"))
    rows = loose.join(names, on="parent", how="left").with_columns(
        account_id=nw.col("child"), kind_of=nw.col("kind").str.to_lowercase(), kind=nw.lit("PAYER_CONTRACT")
    )
    words = text(nw.col("kind_of"), " of ", nw.col("other"))
    began = _within(rows, "effective_from", since, as_of).with_columns(
        detail=text(nw.col("kind_of"), "_began"), effective_date=nw.col("effective_from"), old=null(TEXT), new=words
    )
    ended = _within(rows, "effective_to", since, as_of).with_columns(
        detail=text(nw.col("kind_of"), "_ended"), effective_date=nw.col("effective_to"), old=words, new=null(TEXT)
    )
    return stack([_raw(began), _raw(ended)])


def closure_events(forest: Forest, since: str, as_of: str) -> Frame:
    """Organisations that closed, or were merged into another, within the window."""
    names = forest.nodes.select(
        nw.col("account_id").alias("successor_account_id"), nw.coalesce("name", "account_id").alias("heir")
    )
    rows = _within(forest.status, "since", since, as_of).join(names, on="successor_account_id", how="left")
    handed = ~nw.col("successor_account_id").is_null()
    return _raw(
        rows.with_columns(
            kind=cases([(handed, "SUCCESSION")], "CLOSURE"),
            detail=nw.col("status").str.to_lowercase(),
            effective_date=nw.col("since"),
            old=nw.lit("ACTIVE"),
            new=text(nw.col("status"), nw.when(handed).then(text(", followed by ", nw.col("heir")))),
            new_id=nw.col("successor_account_id"),
        )
    )


def regulatory_events(regulation: Iterable[Regulation], since: str, as_of: str, engine: Engine) -> Frame:
    """States whose certificate-of-need law began to read otherwise within the window."""
    by_state: dict[str, list[Regulation]] = {}
    for fact in regulation:
        by_state.setdefault(fact.state, []).append(fact)
    rows = []
    for state, facts in sorted(by_state.items()):
        for fact in facts:
            if fact.valid_from and since < fact.valid_from <= as_of:
                before = next((f.con for f in facts if f.valid_to == fact.valid_from), "unknown")
                words = {"detail": "certificate_of_need", "old": before, "new": fact.con, "source_ref": fact.citation}
                dates = {"effective_date": fact.valid_from, "first_seen": fact.valid_from}
                rows.append({"kind": "REGULATORY", "subject": f"state:{state}", **words, **dates})
    return engine.table(rows, RAW)


def people_events(world: World, reps: RepPolicy, since: str, as_of: str, engine: Engine) -> Frame:
    """Owners who are inactive, and people of the roster whose leave or return fell into the window."""
    owned = live(world.records).select("connection", nw.col("owner").alias("user_id")).unique()
    inactive = world.users.filter(~nw.coalesce("is_active", nw.lit(value=True)), ~nw.col("email").is_null())
    owners = inactive.join(owned, on=["connection", "user_id"], how="semi").select("email").unique()
    emails = {row["email"] for row in engine.rows(owners)}
    rows = [_person(email, None, "active", "inactive") for email in sorted(emails)]
    for rep in reps.reps:
        email = rep.email.lower()
        if not rep.active and email not in emails:
            rows.append(_person(email, None, "active", "inactive"))
        if since < rep.leave_from <= as_of:
            rows.append(_person(email, rep.leave_from, "active", "on leave"))
        if since < rep.leave_to <= as_of:
            rows.append(_person(email, rep.leave_to, "on leave", "active"))
    return engine.table(rows, RAW)


def _person(email: str, day: str | None, old: str, new: str) -> dict[str, str | None]:
    words = {"kind": "REP_CHANGE", "detail": new.replace(" ", "_"), "subject": email, "old": old, "new": new}
    return {**words, "effective_date": day, "first_seen": day, "source_ref": "roster"}


def _within(rows: Frame, column: str, since: str, as_of: str) -> Frame:
    return rows.filter(certain(nw.col(column) > since) & certain(nw.col(column) <= as_of))


def _raw(rows: Frame) -> Frame:
    return conform(rows.with_columns(subject=nw.col("account_id")), RAW)
