"""A machine of random steps over one installation: persons edit, plans are made and decided, runs die and recover.

The model is a dict: which value stands for which item, and what was said about it. After every step the CRM's history
is held against it; after every recovery the audit, too.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from store import audit
from store.decisions import Decisions, Verdict
from store.plans import Plans
from tests.drills.conftest import Places
from tests.drills.crm import HUMAN
from tests.drills.lives import Fate, live
from tests.drills.trials import POINTS, Crash, crash
from tests.drills.world import FIELD, LANE, PERSON, Wanted, record_id, save_plan

COUNT = {"salesforce": 5, "hubspot": 4}
RECORDS = [(system, number) for system, count in COUNT.items() for number in range(count)]
some = st.sets(st.sampled_from(RECORDS), min_size=1)
Item = tuple[str, str]  # system, record id


class Installation(RuleBasedStateMachine):
    """One place, its CRM and its plans."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="platbook-machine-")
        self.place = Places(Path(self.folder.name), None)()
        self.plan_id, self.number, self.lives = "", 0, 0
        self.before: dict[str, str | None] = {}  # value of ours -> what stood there when it was planned
        self.item: dict[str, Item] = {}  # value of ours -> its record
        self.open: dict[Item, str] = {}  # items of the newest plan -> their value
        self.said: dict[str, Verdict] = {}  # value of ours -> the newest word on it

    @initialize()
    def fill(self) -> None:
        crm = self.place.crm()
        crm.create({(s, record_id(s, n)): {FIELD[s]: f"{s}-first", "phone": "1"} for s, n in RECORDS})
        crm.close()

    @rule(chosen=some)
    def plan(self, chosen: set[tuple[str, int]]) -> None:
        """Something new is wanted of some records, as they are now."""
        crm, wanted = self.place.crm(), []
        self.number += 1
        self.open = {}
        for system, n in sorted(chosen):
            one, value = record_id(system, n), f"{system}-plan{self.number}-{n}"
            found = crm.get(system, one)
            assert found is not None
            before = found[0][FIELD[system]]
            self.before[value], self.item[value], self.open[system, one] = before, (system, one), value
            wanted.append(Wanted(connection=system, record_id=one, before=before, after=value, lane=LANE[system]))
        crm.close()
        orgs = {system: f"org-{system}" for system in COUNT}
        self.plan_id = save_plan(self.place, wanted, orgs, is_approved=False)

    @precondition(lambda self: self.open)
    @rule(chosen=some, verdict=st.sampled_from([Verdict.APPROVE, Verdict.APPROVE, Verdict.REJECT, Verdict.DEFER]))
    def decide(self, chosen: set[tuple[str, int]], verdict: Verdict) -> None:
        """A person says something about some items of the newest plan."""
        database = self.place.database()
        asked = {(system, record_id(system, n)) for system, n in chosen} & self.open.keys()
        items = Plans(database, self.place.files()).load(self.plan_id).items.to_pylist()
        rows = [one for one in items if (one["connection"], one["record_id"]) in asked]
        if rows:
            named = [(one["fingerprint"], one["item_id"]) for one in rows]
            Decisions(database).decide(named, verdict, person=PERSON, reason="because", plan_id=self.plan_id)
            self.said |= {self.open[one]: verdict for one in asked}
        database.close()

    @rule(one=st.sampled_from(RECORDS))
    def edit(self, one: tuple[str, int]) -> None:
        """A person changes a record."""
        self.number += 1
        crm, name = self.place.crm(), record_id(*one)
        crm.edit(one[0], name, {FIELD[one[0]]: f"human-{self.number}"})
        crm.close()

    @precondition(lambda self: self.plan_id)
    @rule(seed=st.integers(0, 999), die_at=st.integers(0, POINTS))
    def apply(self, seed: int, die_at: int) -> None:
        """A run in bad weather, which may die."""
        self._live(Fate(seed=seed, die_at=die_at, die=crash))

    @precondition(lambda self: self.plan_id)
    @rule()
    def recover(self) -> None:
        """Two quiet runs, after which nothing may be in doubt and the audit tells what the CRM tells."""
        for _ in range(2):
            self._live(Fate(seed=0, faults=False, humans=False))
        database = self.place.database()
        with database.read() as conn:
            entries = list(audit.entries(conn))
        assert audit.verify(database).is_intact
        database.close()
        audited = Counter(
            (entry["body"]["connection"], entry["body"]["record_id"], new)
            for entry in entries
            if entry["kind"] == "applied" and entry["body"]["how"] != "converged"
            for _, new in entry["body"]["fields"].values()
        )
        assert audited == Counter((system, one, new) for _, system, one, _, _, new, _ in self._ours())
        told = {(e["body"]["record_id"], v) for e in entries for v in e["body"].get("overwrote", {}).values()}
        for _, system, one, _, old, new, _ in self._ours():
            assert old == self.before[new] or (system == "hubspot" and (one, old) in told)

    @invariant()
    def only_what_was_approved_is_written_and_each_value_once(self) -> None:
        ours = self._ours()
        for _, system, one, _, _, new, _ in ours:
            assert self.item[new] == (system, one)
            assert self.said.get(new) is not None
        assert max(Counter(row[5] for row in ours).values(), default=1) == 1

    @invariant()
    def nobody_is_written_over_where_the_crm_has_preconditions(self) -> None:
        for _, system, _, _, old, new, _ in self._ours():
            assert system != "salesforce" or old == self.before[new]

    @invariant()
    def writes_are_in_the_order_of_epochs(self) -> None:
        for name in COUNT:
            epochs = [int(row[6].split("/")[1]) for row in self._ours() if row[1] == name]
            assert epochs == sorted(epochs)

    def teardown(self) -> None:
        self.folder.cleanup()

    def _live(self, fate: Fate) -> None:
        self.lives += 1
        refused = {value for value, said in self.said.items() if said in (Verdict.REJECT, Verdict.DEFER)}
        refused |= self.item.keys() - self.said.keys()
        before = len(self._ours())
        with suppress(Crash):
            live(self.place, self.plan_id, fate, self.lives, guards=lambda *_: ())
        assert not refused & {row[5] for row in self._ours()[before:]}

    def _ours(self) -> list[Any]:
        crm = self.place.crm()
        found = [row for row in crm.history() if row[6] != HUMAN]
        crm.close()
        return found
