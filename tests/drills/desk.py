"""One plan of a few owner changes over a CRM file, and the parts a test looks at."""

from __future__ import annotations

from typing import Any

from jobs.apply import apply_plan
from jobs.applying.model import ApplyResult
from store.database import Database
from store.decisions import Decisions, Verdict
from store.plans import Plans, PlanStatus
from tests.drills.crm import CrmFile
from tests.drills.world import PERSON, Place, deps, make, record_id

SF = "salesforce"


class Desk:
    """One place with a plan of a few owner changes, and the parts a test looks at."""

    def __init__(self, place: Place, count: int = 6) -> None:
        self.place = place
        self.plan_id = make(place, records={SF: count})
        self.database: Database = place.database()
        self.crm: CrmFile = place.crm()

    def apply(self, *, teams: Any = None, flags: Any = None, **more: Any) -> ApplyResult:
        given = deps(self.place, self.database, self.crm, rows=100, **more)
        if teams:
            given.connections[SF].target.teams.update(teams)  # type: ignore[attr-defined]  # the drill's own target
        return apply_plan(given, self.plan_id, person=PERSON, **(flags or {}))

    def owner(self, number: int) -> str | None:
        found = self.crm.get(SF, record_id(SF, number))
        return found[0]["owner"] if found else None

    def status(self) -> PlanStatus:
        return self.plans.load(self.plan_id).status

    @property
    def plans(self) -> Plans:
        return Plans(self.database, self.place.files())

    def items(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.plans.load(self.plan_id).items.to_pylist()
        return rows

    def decide(self, number: int, verdict: Verdict, **more: Any) -> None:
        item = self.items()[number]
        chosen = [(item["fingerprint"], item["item_id"])]
        Decisions(self.database).decide(chosen, verdict, person=PERSON, reason="because", plan_id=self.plan_id, **more)

    def close(self) -> None:
        self.database.close()
        self.crm.close()


def states(result: ApplyResult) -> list[str]:
    return [str(item.state) for item in result.items]
