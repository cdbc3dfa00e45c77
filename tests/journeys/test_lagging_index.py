"""What was just written is known, though no pull shows it yet: none came since, or an index lags behind."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from tests.journeys.conftest import Cli
from tests.journeys.world import HS_ANA, HS_DEE, HS_HAYS, HS_LONE


def test_a_plan_right_after_an_apply_knows_what_was_written(planned: Cli) -> None:
    planned.approve_all()
    assert planned.apply_first().code == 0
    assert planned.run("plan", "--detailed-exitcode").code == 0
    assert planned.ok("drift", "--json").json["rows"] == []
    before = planned.writes()
    assert planned.run("apply").code == 0
    assert planned.writes() == before


def test_what_was_just_written_is_no_drift_while_the_index_shows_it_as_it_was(planned: Cli) -> None:
    planned.sandbox.world.settings.search_lag_s = 3600.0
    planned.approve_all()
    assert planned.apply_first().code == 0
    planned.ok("pull")
    assert planned.ok("drift", "--json").json["rows"] == []
    assert planned.run("plan", "--detailed-exitcode").code == 0
    assert planned.record("hubspot", HS_HAYS)["hubspot_owner_id"] == HS_ANA


def test_what_the_index_missed_comes_with_the_next_reading_of_everything(settled: Cli) -> None:
    settled.sandbox.world.settings.search_lag_s = 3600.0
    settled.edit("hubspot", HS_LONE, "9071", hubspot_owner_id=HS_DEE)
    assert _accounts(settled) == "delta"
    assert settled.ok("drift", "--json").json["rows"] == []
    _a_day_later(settled)
    assert _accounts(settled) == "full"
    (moved,) = settled.ok("drift", "--json").json["rows"]
    assert (moved["record"], moved["field"], moved["actor_kind"]) == (HS_LONE, "owner", "human")
    assert _accounts(settled) == "delta"


def _accounts(cli: Cli) -> str:
    """Pull, and give the way HubSpot's companies came."""
    (portal,) = [one for one in cli.ok("pull", "--json").json["connections"] if one["connection"] == "hubspot"]
    return next(str(one["mode"]) for one in portal["objects"] if one["object"] == "account")


def _a_day_later(cli: Cli) -> None:
    """The last reading of everything was a day before."""
    with closing(sqlite3.connect(cli.folder / "state" / "platbook.db")) as base, base:
        base.execute("UPDATE snapshot SET meta = json_set(meta, '$.whole_at', '2026-01-01T00:00:00.000Z')")
