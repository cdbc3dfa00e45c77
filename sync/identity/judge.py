"""Which records and firms are one organisation, from the surest word to the least sure.

1. what persons said: link or do not link, for ever
2. what earlier runs linked
3. keys: identifiers that are unique, corroborated and of the row's own kind of provider; systems by name with place
4. the model, for firms and records that are left: one to one, with guards; what is likely waits for a person
5. the model for records of two CRMs that no firm brought together
"""

from __future__ import annotations

from dataclasses import dataclass

from mappings.identity_policy import IdentityPolicy
from sync.engine import Engine, Frame
from sync.identity.contest import Contest, OpenPair
from sync.identity.keys import link_by_keys, name_accounts
from sync.identity.parties import make_parties
from sync.identity.sticky import decided
from sync.identity.traits import Places
from sync.problem import Problem, Severity
from sync.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who is who, and what a person should look at."""

    links: Frame  # LINKS
    open_pairs: tuple[OpenPair, ...] = ()  # most likely first


def link(world: World, policy: IdentityPolicy, places: Places, engine: Engine) -> Identity:
    """Links of a world: one row per live CRM record and per firm. Read-only; row order never matters."""
    parties = make_parties(world, engine)
    clusters = link_by_keys(world, parties, policy.keys, engine)
    open_pairs: tuple[OpenPair, ...] = ()
    if policy.model:
        contest = Contest(
            world=world,
            parties=parties,
            places=places,
            policy=policy,
            model=policy.model,
            said=decided(world, engine),
            engine=engine,
        )
        clusters, open_pairs = contest.firms_and_records(clusters)
        clusters = contest.records_and_records(clusters)
    return Identity(links=engine.materialize(name_accounts(clusters, engine)), open_pairs=open_pairs)


def problems(open_pairs: tuple[OpenPair, ...]) -> tuple[Problem, ...]:
    """The open pairs as problems, in their order."""
    return tuple(
        Problem(
            code="LINK-REVIEW",
            severity=Severity.REVIEW,
            subject=f"{one.name} / {one.other_name}",
            fact=f"they are one organisation with a probability of {one.chance:.0%}: {one.reason}",
            remedy="Decide with `platbook identity review`; until then they stay two accounts.",
            refs=tuple(sorted((" ".join(one.party), " ".join(one.other)))),
        )
        for one in open_pairs
    )
