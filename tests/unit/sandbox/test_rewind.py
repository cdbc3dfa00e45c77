"""A look back shows every record as it stood then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sandbox.moment import Cut, Moment, count_write, holding, lag_s
from sandbox.world import World


def _clock(world: World) -> list[datetime]:
    """The hand of the world's clock: set its one item."""
    hand = [datetime(2026, 1, 1, tzinfo=UTC)]
    world.now = lambda: hand[0]
    return hand


def test_changes_since_then_are_taken_back_and_records_made_since_are_gone():
    world = World()
    hand = _clock(world)
    old = world.insert("salesforce", "Account", {"Name": "Old", "Phone": "1"}, by="005")
    hand[0] += timedelta(seconds=60)
    world.human_edit("salesforce", "Account", old, {"Phone": "2"}, by="005")
    new = world.insert("salesforce", "Account", {"Name": "New"}, by="005")
    with holding(Moment(lag_s=30)):
        seen = world.get("salesforce", "Account", old)
        assert seen is not None
        assert (seen["Phone"], seen["SystemModstamp"]) == ("1", "2026-01-01T00:00:30.000+0000")
        assert world.get("salesforce", "Account", new) is None
        assert [row["Id"] for row in world.rows("salesforce", "Account")] == [old]
    assert len(world.rows("salesforce", "Account")) == 2


def test_conditions_end_with_the_request():
    with holding(Moment(lag_s=5)):
        assert lag_s() == 5
    assert lag_s() == 0


def test_only_writes_over_the_api_are_counted():
    with holding(Moment(writes_left=1)):
        count_write("CRM_UI")
        count_write("API")
        try:
            count_write("API")
        except Cut:
            return
    raise AssertionError("the second write was not cut")
