"""1,000 random leads: each decision is replayed from what was kept, with the same trace; threads change no byte."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from mappings.leads import Lead
from store.database import Database
from store.decisions import Person
from store.routed import Decided, Routings
from sync.territory.deciding import AuthorityRecord
from sync.territory.lead_records import basis_text, inputs_text, replay, routed_text
from sync.territory.leads import Basis, Inputs, Place, Routed, route_lead
from sync.territory.matching import Register
from tests.unit.sync.territory.leads_world import AS_OF, H1, PEOPLE, SHIPPED, basis, known

ROOT = Path(__file__).parent.parent.parent
WORDS = ("Valley", "Mercy", "Saint", "Regional", "Medical", "Center", "Hospital", "Clinic")
STATES, ZIPS = ("TN", "TX", "AZ"), ("37201", "75001", "85001")
LINES = ("", "ONCOLOGY", "CARDIOLOGY")
DECISIONS, PLACES = 1000, 12


def random_place(dice: random.Random, number: int) -> Place:
    """An account with whatever may matter to the routing."""
    people = [None, *sorted(PEOPLE)]
    levels = ("SITE", "REGION", "SYSTEM")
    records = tuple(
        AuthorityRecord(
            org_id=f"a{number}",
            distance=dice.randint(0, 1),
            level=dice.choice(levels),
            service_line=dice.choice(("ALL", "ONCOLOGY")),
            valid_to=dice.choice((None, AS_OF, "2027-01-01")),
            ref=f"r{index}",
        )
        for index in range(dice.randint(0, 2))
    )
    return replace(
        H1,
        account_id=f"a{number}",
        name=" ".join(dice.sample(WORDS, 3)),
        unit=f"a{dice.randint(0, number)}",
        state=dice.choice(STATES),
        tier=dice.choice(("T1", "T2", None)),
        archetype=dice.choice(("IDN", "INDEPENDENT", None)),
        owner=dice.choice(people),
        system_owner=dice.choice(people),
        record_owner=dice.choice(people),
        hold_kind=dice.choice((None, None, "lock")),
        motion=dice.choice((None, "CONTRACT_ACTIVATION", "NEW_BUSINESS")),
        closed_on=dice.choice((None, None, "2026-06-30")),
        successor=f"a{dice.randint(0, PLACES - 1)}",
        authority=records,
    )


def random_lead(dice: random.Random, places: list[Place]) -> Lead:
    """A lead on one of the accounts, more or less well written, or on none."""
    name = dice.choice(places).name if dice.random() < 0.7 else " ".join(dice.sample(WORDS, 2))
    values: dict[str, Any] = {"organisation": name, "service_line": dice.choice(LINES)}
    if dice.random() < 0.5:
        values |= {"zip5": dice.choice(ZIPS), "state": dice.choice(STATES)}
    if dice.random() < 0.2:
        values |= {"email": f"dr.who{dice.randint(0, 9)}@clinic{dice.randint(0, 5)}.example", "amount_cents": 1_000}
    if dice.random() < 0.1:
        values["account"] = dice.choice(places).account_id
    return Lead(**values)


def decisions(count: int, on: Basis) -> list[tuple[Inputs, Routed]]:
    """Random leads on some random accounts, decided."""
    dice = random.Random(20_260_702)
    places = [random_place(dice, number) for number in range(PLACES)]
    register = Register([known(place, zip5=dice.choice(ZIPS)) for place in places])
    by_id = {place.account_id: place for place in places}
    made = []
    for _ in range(count):
        lead = random_lead(dice, places)
        candidates = register.candidates(lead, SHIPPED.policies.leads.match)
        work = {email: dice.randint(0, 25) for email in sorted(PEOPLE)}
        inputs = Inputs(lead=lead, as_of=AS_OF, candidates=candidates, places=by_id, work=work)
        made.append((inputs, route_lead(inputs, on)))
    return made


def test_a_thousand_decisions_are_replayed_from_the_store_with_the_same_trace(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'state.db'}")
    database.migrate()
    routings, on = Routings(database), basis()
    made = decisions(DECISIONS, on)
    rows = [
        Decided(
            lead_id=str(number),
            as_of=AS_OF,
            outcome=routed.outcome.value,
            assignee=routed.assignee,
            account_id=routed.account_id,
            rule_id=routed.rule_id,
            inputs=inputs_text(inputs),
            result=routed_text(routed),
        )
        for number, (inputs, routed) in enumerate(made)
    ]
    routings.save(rows, basis=basis_text(on), ruleset_digest="r", snapshot_ids=[], person=Person(name="maria"))
    kept = routings.list(limit=DECISIONS)
    text = routings.basis(kept[0].basis_digest)
    different = [one.id for one in kept if replay(one.decided.inputs, text) != one.decided.result]
    database.close()
    assert (len(kept), different) == (DECISIONS, [])
    assert len({one.decided.rule_id for one in kept}) >= 8  # the leads reach every corner of the policy
    assert not any("dr.who" in one.decided.inputs for one in kept)  # of the person only the domain


PROGRAM = """
import hashlib
from tests.unit.sync.territory.test_lead_book import acquired, book
from tests.properties.test_route_replay import LINES, ZIPS
from mappings.leads import Lead
from sync.territory.lead_records import basis_text, inputs_text, routed_text
from sync.territory.leads import route_lead

found = hashlib.sha256()
by = book(acquired(), "2025-05-01")
found.update(basis_text(by.basis).encode())
for name in ("Valley Medical Group", "Regional Hospital", "Valley", "Nobody"):
    for line in LINES:
        inputs = by.inputs(Lead(organisation=name, zip5="67601", service_line=line), {"sam@x.example": 3})
        found.update((inputs_text(inputs) + routed_text(route_lead(inputs, by.basis))).encode())
print(found.hexdigest())
"""


def test_one_thread_and_two_decide_the_same_bytes() -> None:
    digests = set()
    for threads, seed in (("1", "1"), ("2", "2")):
        environment = {**os.environ, "POLARS_MAX_THREADS": threads, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, cwd=ROOT, check=True
        )
        digests.add(done.stdout.strip())
    assert len(digests) == 1
