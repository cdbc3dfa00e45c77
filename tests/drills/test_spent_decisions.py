"""An answer counts once: what was carried out and comes back is a new question."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs.apply import apply_plan
from jobs.applying.model import ApplyResult
from store.decisions import Decisions, Verdict, spend
from store.plans import Plans
from sync.planning.decisions import ONCE
from tests.drills.conftest import Places
from tests.drills.world import PERSON, Place, Wanted, deps, save_plan

SF, RECORD = "salesforce", "salesforce-000"
NAMES = count()
CHANGE = Wanted(connection=SF, record_id=RECORD, before="ken", after="dana")


class Account:
    """One account, and plans that want its owner changed from Ken to Dana."""

    def __init__(self, place: Place) -> None:
        self.place, self.database, self.crm = place, place.database(), place.crm()
        self.crm.create({(SF, RECORD): {"owner": "ken", "phone": "1"}})

    def propose(self, verdict: Verdict | None, **more: str) -> str:
        plan_id = save_plan(self.place, [CHANGE], {SF: f"org-{SF}"}, is_approved=False)
        (item,) = Plans(self.database, self.place.files()).load(plan_id).items.to_pylist()
        if verdict:
            chosen = [(item["fingerprint"], item["item_id"])]
            Decisions(self.database).decide(chosen, verdict, person=PERSON, reason="because", plan_id=plan_id, **more)
        return plan_id

    def apply(self, plan_id: str) -> ApplyResult:
        return apply_plan(deps(self.place, self.database, self.crm), plan_id, person=PERSON)

    @property
    def owner(self) -> str:
        found = self.crm.get(SF, RECORD)
        assert found is not None
        return str(found[0]["owner"])


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    made = Account(Places(tmp_path, None)())
    yield made
    made.database.close()
    made.crm.close()


def test_an_approval_does_not_write_again_what_a_person_put_back(account: Account) -> None:
    assert account.apply(account.propose(Verdict.APPROVE)).is_complete
    assert account.owner == "dana"
    account.crm.edit(SF, RECORD, {"owner": "ken"})
    result = account.apply(account.propose(None))
    assert result.totals["pending"] == 1
    assert account.owner == "ken"


def test_a_kept_value_whose_term_is_over_is_asked_again(account: Account) -> None:
    account.apply(account.propose(Verdict.APPROVE))
    account.crm.edit(SF, RECORD, {"owner": "ken"})
    result = account.apply(account.propose(Verdict.KEEP_CRM, expires_at="2999-01-31T00:00:00.000Z"))
    assert result.totals["kept"] == 1
    result = account.apply(account.propose(None))
    assert result.totals["pending"] == 1
    assert account.owner == "ken"


def test_an_approval_whose_record_moved_first_still_counts(account: Account) -> None:
    account.crm.edit(SF, RECORD, {"owner": "mia"})
    assert account.apply(account.propose(Verdict.APPROVE)).items[0].state == "stale"
    account.crm.edit(SF, RECORD, {"owner": "ken"})
    assert account.apply(account.propose(None)).is_complete
    assert account.owner == "dana"


def test_a_rejection_stays(account: Account) -> None:
    account.apply(account.propose(Verdict.REJECT))
    result = account.apply(account.propose(None))
    assert (result.totals["pending"], account.owner) == (0, "ken")


STEPS = st.lists(st.sampled_from([*[v for v in Verdict if v is not Verdict.SPENT], "carried out"]), max_size=10)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_what_counts_is_the_newest_verdict_unless_it_was_carried_out(account: Account, steps: list[str]) -> None:
    """Against a model of one word: what was said last, gone once it is carried out."""
    database, name = account.database, f"f{next(NAMES)}"
    register, model = Decisions(database), None
    for step in steps:
        if isinstance(step, Verdict):
            register.decide([(name, "i")], step, person=PERSON, reason="because")
            model = step
        else:
            with database.state() as conn:
                spend(conn, [(name, "i")], plan_id="P", run_id="R", at=database.now())
            model = None if model in ONCE else model
        found = register.current([name]).get(name)
        assert (found.verdict if found else None) == model
