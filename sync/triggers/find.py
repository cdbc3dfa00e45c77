"""All events of a run, whom they touch, what is flagged, and what was believed wrongly.

1. ownership    the vendor's newest delivery against the one before; dated edges before and after their days
2. flapping     there and back again is one event to look at
3. the rest     service lines, payers and technology restated; contracts, memberships, closures, law, people
4. ids          what, to whom, when, from, to: found again it is the same event
5. affected     the accounts to look at again; flags: those of them that a person should know of
6. gates        what may be followed at once, and what waits for approval
"""

from __future__ import annotations

from dataclasses import dataclass

import narwhals as nw

from mappings.policy import Mappings
from sync.engine import Engine, Frame
from sync.frames import conform, stack
from sync.hierarchy.forest import Forest, Linked
from sync.triggers.affected import Surroundings, affected
from sync.triggers.dated import closure_events, fact_events, membership_events, people_events, regulatory_events
from sync.triggers.events import RAW, finished, window_start
from sync.triggers.flags import flags
from sync.triggers.flapping import collapsed
from sync.triggers.gates import Stakes, gated
from sync.triggers.moves import dated_moves
from sync.triggers.restated import marks, restated_changes
from sync.triggers.vendor import ownership_events

_SAME = ["account_id", "detail", "effective_date", "new_id"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """What happened since the window began."""

    moves: Frame  # EVENTS: one change of system per account, for the plan's words
    events: Frame  # TRIGGERS
    affected: Frame  # AFFECTED
    flags: Frame  # FLAGS
    corrections: Frame  # BELIEVED


def find_events(
    linked: Linked, forest: Forest, stakes: Stakes, holders: Frame, *, mappings: Mappings, as_of: str, engine: Engine
) -> Happened:
    """Everything of the window that ends on an ISO date."""
    policy = mappings.policies.triggers
    since = window_start(policy, as_of)
    moves = ownership_events(linked.world, linked.links, forest.feed.released, engine, linked.told)
    dated = dated_moves(forest, mappings.policies.hierarchy, policy, as_of, engine)
    recent = dated.events.filter((nw.col("effective_date") > since) | (nw.col("first_seen") > since))
    both = collapsed(_ownership(moves, dated.events), policy.flapping_days, engine)
    # Older ones only served to find flapping. A vendor's change counts as long as its delivery is the newest.
    old = dated.events.join(recent.select(*_SAME), on=_SAME, how="anti")
    owners = both.join(old.select(*_SAME), on=_SAME, how="anti")
    others = [
        restated_changes(linked.world, linked.links, marks(mappings.policies), engine),
        fact_events(linked.confirmed, since, as_of),
        membership_events(forest, since, as_of, engine),
        closure_events(forest, since, as_of),
        regulatory_events(mappings.law, since, as_of, engine),
        people_events(linked.world, mappings.policies.reps, since, as_of, engine),
    ]
    events = finished(stack([owners, *others]), policy, engine)
    around = Surroundings(
        world=linked.world,
        links=linked.links,
        accounts=linked.accounts,
        hierarchy=forest.tree.hierarchy,
        holders=holders,
    )
    touched = affected(events, around, engine)
    events = gated(events, touched, stakes, policy, engine)
    return Happened(
        moves=moves,
        events=events,
        affected=touched,
        flags=flags(events, touched, policy, engine),
        corrections=dated.corrections,
    )


def _ownership(moves: Frame, dated: Frame) -> Frame:
    """The vendor's changes and the dated ones; of one that both show the dated stays, its day is the true one."""
    stated = moves.with_columns(
        detail=nw.col("kind"),
        kind=nw.lit("OWNERSHIP_CHANGE"),
        subject=nw.col("account_id"),
        effective_date=nw.col("as_of"),
        first_seen=nw.col("as_of"),
        old_id=nw.col("old_account_id"),
        new_id=nw.col("new_account_id"),
        old=nw.col("old_system"),
        new=nw.col("new_system"),
    )
    known = dated.select("account_id", "new_id").unique()
    return stack([conform(stated.join(known, on=["account_id", "new_id"], how="anti"), RAW), conform(dated, RAW)])
