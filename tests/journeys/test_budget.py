"""The calls of a day: a plan says what it would take, and nothing is begun that would take the others' share."""

from __future__ import annotations

from tests.journeys.conftest import Cli


def test_a_plan_says_its_calls_and_is_refused_where_they_are_others(planned: Cli) -> None:
    figures = planned.ok("show", "--json").json["calls"]
    assert figures["salesforce"]["limit"] == 100_000
    assert 0 < figures["salesforce"]["calls"] < 40
    assert f"salesforce: about {figures['salesforce']['calls']} calls," in planned.ok("show").out
    planned.approve_all()
    world = planned.sandbox.world
    world.salesforce_calls = 85_000  # others have had most of the day
    refused = planned.apply_first()
    assert refused.code == 6
    assert "of them are others'" in refused.said
    assert planned.writes() == 0
    world.salesforce_calls = 0  # the next day
    assert planned.apply_first().code == 0
    assert planned.writes() > 0
