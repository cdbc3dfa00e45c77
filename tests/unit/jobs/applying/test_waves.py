"""The order in which work is written, and how it is cut."""

from __future__ import annotations

from typing import Any

from connectors.protocol import Lane
from jobs.applying.model import Work
from jobs.applying.waves import chunks, record_count, waves


def work(item: str, record: str, **more: Any) -> Work:
    about = {"fingerprint": item, "account_name": record, "before": {}, "rules": {}, "caused_by": None}
    given: dict[str, Any] = {
        "connection": "salesforce",
        "group": "ownership",
        "lane": Lane.CONDITIONAL,
        "depth": 0,
        "sequence": int(item),
        "want": {"owner": "dana"},
        **about,
        **more,
    }
    return Work(item_id=item, record_id=record, **given)


def parent(item: str, record: str, depth: int, **more: Any) -> Work:
    return work(item, record, depth=depth, want={"parent": "mercy"}, group="hierarchy", **more)


def ids(works: Any) -> list[str]:
    return [one.item_id for one in works]


def test_records_that_get_a_parent_come_first_and_top_down_with_all_their_items() -> None:
    listed = [parent("1", "below", 2), parent("2", "above", 1), work("3", "other"), work("4", "below", caused_by="1")]
    first, second = waves(listed)
    assert ids(first.works) == ["2", "1", "4"]
    assert ids(second.works) == ["3"]


def test_every_connection_and_lane_has_waves_of_its_own() -> None:
    listed = [
        work("1", "a"),
        work("2", "a", lane=Lane.BATCH, want={"account_tier": "T1"}),
        parent("3", "b", 1, connection="hubspot", lane=Lane.ASSOCIATION),
        work("4", "b", connection="hubspot", lane=Lane.BATCH),
    ]
    found = [(wave.connection, wave.lane, ids(wave.works)) for wave in waves(listed)]
    assert found == [
        ("hubspot", Lane.ASSOCIATION, ["3"]),
        ("hubspot", Lane.BATCH, ["4"]),
        ("salesforce", Lane.BATCH, ["2"]),
        ("salesforce", Lane.CONDITIONAL, ["1"]),
    ]


def test_a_cut_never_falls_between_two_items_of_a_record() -> None:
    listed = [work("1", "a"), work("2", "a"), work("3", "b"), work("4", "c"), work("5", "c"), work("6", "d")]
    assert [ids(part) for part in chunks(listed, (1, 2))] == [["1", "2"], ["3", "4", "5"], ["6"]]
    assert [record_count(part) for part in chunks(listed, (3,))] == [3, 1]
    assert list(chunks([], (3,))) == []
