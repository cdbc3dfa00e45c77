"""Events that dated statements make: contracts and memberships, closures and successors, law, and people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import narwhals as nw

from mappings.policy import RepPolicy
from mappings.regulation import Dated, Law, Regulation
from sync.engine import Engine, Frame
from sync.frames import cases, conform, null, one_of, stack, text
from sync.hierarchy.forest import Forest
from sync.identity.parties import live
from sync.triggers.events import RAW
from sync.world import TEXT, World

_FACTS = {"gpo_contract": "PAYER_CONTRACT", "capitated": "PAYER_CONTRACT", "aco": "PAYER_CONTRACT"}
_MEMBERSHIPS = ("GPO_MEMBER", "ACO_PARTICIPANT", "CIN_MEMBER", "PHO_MEMBER")


def fact_events(confirmed: Frame, since: str, as_of: str) -> Frame:
    """Contracts and strengths that began within the window, and contracts that ended."""
    line = nw.col("fact").str.ends_with("_strength")
    known = nw.col("fact").replace_strict(list(_FACTS), list(_FACTS.values()), default=None, return_dtype=TEXT)
    kind = nw.coalesce(known, nw.when(line).then(nw.lit("SERVICE_LINE_CHANGE")))
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


_PROGRAMS = {"con": "certificate_of_need", "expanded": "medicaid_expansion", "practice": "nurse_practice"}


def regulatory_events(law: Law, since: str, as_of: str, engine: Engine) -> Frame:
    """States whose law began to read otherwise within the window: certificate of need, Medicaid, nurse practice."""
    lists: tuple[tuple[str, Sequence[Dated]], ...] = (
        ("con", law.con),
        ("expanded", law.expansion),
        ("practice", law.practice),
    )
    rows = [row for word, facts in lists for row in _law_rows(word, facts, since, as_of)]
    return engine.table(rows, RAW)


def _law_rows(word: str, facts: Sequence[Dated], since: str, as_of: str) -> Iterator[dict[str, str]]:
    """RAW rows of one list; what is about some facilities or categories has a story of its own."""
    by_subject: dict[tuple[str, str], list[Dated]] = {}
    for fact in facts:
        by_subject.setdefault((fact.state, _limits(fact)), []).append(fact)
    for (state, limits), dated in sorted(by_subject.items()):
        for fact in dated:
            if fact.valid_from and since < fact.valid_from <= as_of:
                before = next((getattr(one, word) for one in dated if one.valid_to == fact.valid_from), "unknown")
                detail = _PROGRAMS[word] + (f" of {limits}" if limits else "")
                words = {"detail": detail, "old": before, "new": getattr(fact, word), "source_ref": fact.citation}
                dates = {"effective_date": fact.valid_from, "first_seen": fact.valid_from}
                yield {"kind": "REGULATORY", "subject": f"state:{state}", **words, **dates}


def _limits(fact: Dated) -> str:
    return ", ".join((*fact.facilities, *fact.categories)) if isinstance(fact, Regulation) else ""


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
        if since < rep.ramp_until <= as_of:
            rows.append(_person(email, rep.ramp_until, "ramping up", "at full capacity"))
    return engine.table(rows, RAW)


def _person(email: str, day: str | None, old: str, new: str) -> dict[str, str | None]:
    words = {"kind": "REP_CHANGE", "detail": new.replace(" ", "_"), "subject": email, "old": old, "new": new}
    return {**words, "effective_date": day, "first_seen": day, "source_ref": "roster"}


def _within(rows: Frame, column: str, since: str, as_of: str) -> Frame:
    return rows.filter(nw.col(column) > since, nw.col(column) <= as_of)


def _raw(rows: Frame) -> Frame:
    return conform(rows.with_columns(subject=nw.col("account_id")), RAW)
