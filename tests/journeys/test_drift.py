"""What moved since it was agreed, by whom; and values that were kept, until somebody takes that back."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from tests.journeys.conftest import Cli
from tests.journeys.world import ANA, DEE, HAYS, HS_HAYS, MERCY

ASKED = "on_drift: review, on_conflict: review, on_takeover: review, clear: forbid"
TERM = "on_drift: adopt, on_conflict: theirs, override_until: 2099-01-31, on_takeover: review, clear: forbid"


def test_what_a_run_wrote_after_the_newest_pull_is_not_told_as_moved_by_somebody(planned: Cli) -> None:
    planned.approve_all()
    assert planned.apply_first().code == 0
    assert "until `platbook pull`" in planned.ok("drift").out
    assert planned.ok("drift", "--json").json["written_since_pull"] is True
    planned.ok("pull")
    assert planned.ok("drift", "--json").json["written_since_pull"] is False


def test_the_drift_report_names_who_moved_what(settled: Cli) -> None:
    assert settled.ok("drift", "--json").json["rows"] == []
    settled.edit("salesforce", MERCY, DEE, Territory__c="ELSEWHERE", Account_Tier__c="")
    settled.edit("hubspot", HS_HAYS, "9071", account_tier="GROWTH")
    settled.ok("pull")
    rows = settled.ok("drift", "--json").json["rows"]
    assert {(row["connection"], row["record"], row["field"]) for row in rows} == {
        ("salesforce", MERCY, "territory"),
        ("salesforce", MERCY, "account_tier"),
        ("hubspot", HS_HAYS, "account_tier"),
    }
    (hubspot,) = settled.ok("drift", "--by", "actor", "--where", "connection=hubspot", "--json").json["by_actor"]
    assert (hubspot["actor_kind"], hubspot["values"], hubspot["accounts"]) == ("human", 1, 1)
    assert "Ana" in hubspot["actor"]
    assert "3 values on 2 accounts are not as agreed" in settled.ok("drift", "--by", "actor").out


def test_an_override_that_is_taken_back_is_asked_again(settled: Cli) -> None:
    settled.edit("salesforce", HAYS, ANA, OwnerId=DEE)
    settled.ok("pull")
    settled.run("plan")
    settled.ok("keep", "--where", f"record={HAYS}", "--reason", "Dee knows them")
    settled.ok("apply")
    (kept,) = settled.ok("overrides", "list", "--where", "field=owner", "--json").json["overrides"]
    assert (kept["status"], kept["kept"], kept["refused"]) == ("in force", "Dee Dune", "Ana Active")
    settled.run("plan")
    assert settled.ok("show", "--where", f"record={HAYS}", "--json").json["items"][0]["action"] == "overridden"
    released = settled.ok("overrides", "release", "--where", f"record={HAYS}", "--reason", "Dee leaves", "--json").json
    assert "owner" in [row["field"] for row in released["overrides"]]
    settled.run("plan")
    (asked,) = settled.ok("show", "--where", f"record={HAYS}", "--json").json["items"]
    assert (asked["state"], asked["action"]) == ("override_lapsed", "review")
    assert "platbook" not in asked["reason"]
    assert "Dee leaves" in asked["reason"]


def test_a_value_that_the_policy_adopts_stands_until_the_day_the_policy_names(settled: Cli) -> None:
    packaged = (files("mappings") / "policies" / "conflicts.yaml").read_text(encoding="utf-8")
    text = packaged.replace(ASKED, TERM, 2)  # of the owner, and of the rest of its group
    assert TERM in text
    (Path(settled.environment["PLATBOOK_MAPPINGS_DIR"]) / "conflicts.yaml").write_text(text, encoding="utf-8")
    settled.edit("hubspot", HS_HAYS, "9071", territory="ELSEWHERE")
    settled.ok("pull")
    settled.ok("plan")
    settled.ok("apply")
    (kept,) = settled.ok("overrides", "list", "--json").json["overrides"]
    shown = tuple(kept[name] for name in ("field", "kept", "until", "by"))
    assert shown == ("territory", "ELSEWHERE", "2099-01-31", "policy")
