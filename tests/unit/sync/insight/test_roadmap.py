"""The 90-day roadmap on small books: an item is done, partial or missing by what was counted."""

from __future__ import annotations

from typing import Any

from jobs.engines import PolarsEngine
from sync.insight.kpi import Kpi
from sync.insight.lint import Level, Lint
from sync.insight.roadmap import Evidence, roadmap
from sync.insight.standing import STANDING
from sync.segmentation.profiles import PROFILES

ENGINE = PolarsEngine()


def states(profiles: list[dict[str, Any]], standing: list[dict[str, Any]], **given: Any) -> dict[str, tuple[str, str]]:
    nothing = {"segments": 0, "profiles_defined": 0, "territories": 0, "conflict_rules": 0, "applied_plans": 0}
    nothing |= {"pushed_fields": 0, "routed_leads": 0, "mails": 0, "trigger_events": 0, "audits": 0}
    tables = {"standing": ENGINE.table(standing, STANDING), "profiles": ENGINE.table(profiles, PROFILES)}
    whole = {"kpis": (), "lints": (), "records": {}, "feeds": ()}
    made = roadmap(Evidence(**{**nothing, **whole, **tables, **given}), ENGINE)
    return {item.item: (item.state.value, item.evidence) for item in made}


def test_R77_of_an_empty_installation_everything_that_takes_work_is_missing() -> None:
    told = states([], [])
    done = {item for item, (state, _) in told.items() if state == "done"}
    assert done <= {"One owner per system", "Hierarchy verified within the quarter"}
    assert told["Accounts exported from the CRMs"] == ("missing", "nothing was pulled")


def test_R77_every_item_says_what_was_counted() -> None:
    profiles = [
        {
            "account_id": "1",
            "holder_account_id": "1",
            "org_type": "IDN",
            "account_tier": "T1",
            "score_tenths": 500,
            "band": "B",
        },
        {
            "account_id": "2",
            "holder_account_id": "2",
            "account_tier": "T2",
            "score_tenths": 300,
            "band": "INSUFFICIENT",
        },
    ]
    standing = [
        {"account_id": "1", "system_account_id": "1", "in_crm": True},
        {"account_id": "2", "system_account_id": "1", "parent_account_id": "1", "in_crm": True},
    ]
    stale = Lint(id="FM3-STALE", level=Level.WARN, title="t", rows=({"subject": "1"},), fix="f")
    white = Kpi(id="R47", name="White space", line="3 good accounts", rows=({"a": 1},))
    told = states(
        profiles, standing, kpis=(white,), lints=(stale,), records={"salesforce": 2}, routed_leads=4, authority_rules=10
    )
    assert told["Organisation types known"] == ("partial", "1 of 2 (50.0 %)")
    assert told["Accounts scored on enough knowledge"] == ("partial", "1 of 2 (50.0 %)")
    assert told["Tier criteria saved and applied"] == ("done", "2 of 2 (100.0 %)")
    assert told["Top 100 parents mapped"] == ("done", "1 of 1 (100.0 %)")
    assert told["White space listed"] == ("done", "3 good accounts")
    assert told["Lead routing on"] == ("done", "4 leads routed")
    assert told["Rules for parents and affiliates"] == ("done", "10 rules say who decides for whom")
    assert told["Hierarchy verified within the quarter"] == ("partial", "1 systems verified longer ago")
