"""A lead is routed, kept, replayed and supposed otherwise; a batch goes to a file; faults are told with their line."""

from __future__ import annotations

import csv
import json

from tests.journeys.conftest import Cli

HAYS_LEAD = json.dumps({"id": "L1", "organisation": "Mercy Hospital Hays", "zip5": "67601"})


def test_a_kept_decision_is_replayed_after_the_rules_have_changed(planned: Cli) -> None:
    kept = planned.ok("route", "--lead", HAYS_LEAD, "--json").json["decisions"][0]
    assert (kept["assignee"], kept["rule_id"]) == ("ana@people.example", "system-decides")
    roster = planned.folder / "mappings" / "reps.yaml"
    roster.write_text(roster.read_text().replace("role: PRIMARY", "role: PRIMARY, active: false"))
    again = planned.ok("route", "--replay", kept["decision"], "--json").json
    assert (again["identical"], again["ruleset_is_current"]) == (True, False)
    assert again["decision"]["trace"] == kept["trace"]
    told = planned.ok("route", "--lead", HAYS_LEAD).out
    assert "ana@people.example gets it" not in told  # she is not active by the rules of today
    assert "site-decides" in told  # rules that did not decide stand there as well


def test_what_if_stands_beside_what_is_and_is_not_kept(planned: Cli) -> None:
    given = ("--if", "authority_level=SITE", "--if", "authority_basis=EXPLICIT")
    found = planned.ok("route", "--lead", HAYS_LEAD, *given, "--json").json
    assert (found["is"]["assignee"], found["would_be"]["assignee"]) == ("ana@people.example", "bea@people.example")
    assert found["is"]["decision"] == found["would_be"]["decision"] == ""
    alone = json.dumps({"organisation": "Lakeside Medical Center", "zip5": "67601"})
    told = planned.ok("route", "--lead", alone, "--if", "owner_parent=900").out
    assert "as it is: bea@people.example gets it as geo rep" in told
    assert "if owner_parent=900: ana@people.example gets it as system owner" in told


def test_a_file_of_leads_goes_to_a_file_of_answers(planned: Cli) -> None:
    leads = planned.folder / "leads.csv"
    leads.write_text(
        "ID,Organisation,State,Zip5\n1,Mercy Hospital Topeka,KS,66603\n2,Nobody Knows Clinic,KS,67401\n3,test,KS,\n"
    )
    out = planned.folder / "out.csv"
    told = planned.ok("route", "--leads", str(leads), "-o", str(out))
    assert "1 assigned" in told.out
    with out.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["outcome"] for row in rows] == ["assigned", "unassigned", "rejected"]
    assert rows[0]["assignee"] == "ana@people.example"
    assert rows[1]["alerts"] == "unassigned_lead: MANAGER within 24 hours"
    assert all(row["decision"] for row in rows)


def test_a_lead_that_cannot_be_read_is_a_wrong_command_line(planned: Cli) -> None:
    result = planned.run("route", "--lead", '{"organisaton": "X"}')
    assert (result.code, "Did you mean organisation?" in result.said) == (64, True)


def test_without_rules_of_conflict_nothing_is_planned_or_routed(planned: Cli) -> None:
    (planned.folder / "mappings" / "holds.yaml").write_text(
        "policy: {id: holds, version: 1, owner: o, effective_from: 2020-01-01}\n"
    )
    for words in (("plan",), ("route", "--lead", HAYS_LEAD)):
        result = planned.run(*words)
        assert result.code == 7
        assert "holds.yaml:1: CONFLICT-POLICY-MISSING" in result.said
