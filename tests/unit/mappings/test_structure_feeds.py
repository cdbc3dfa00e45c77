"""Edges and records of who decides: rows of a steward's list as the core wants them, and policies that cannot hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.intake import take
from mappings.load import MappingError, load

MAPPINGS = load()
EDGES = """Child ID,Parent ID,Kind,Percent,Procurement Authority,Effective From,Status,Source,Override,Parent Type
104346,532206,owns,51,,2025-05-01,,,,
104347,salesforce:001A,Manages,,yes,2025-05-01,announced,CMS_CHOW,no,
104348,fund-1,financial sponsor,,,,,steward,,investor
"""
AUTHORITY = """Organization ID,Function,Service Line,Category,Level,Spend Limit,Valid From,Source,Delegates Down
104346,,cardiology,Infusion_Pumps,site,"$10,000",2025-05-01,rep,
104347,budget,,,system,,,,yes
"""


def taken(tmp_path: Path, layout: str, text: str) -> list[dict[str, object]]:
    path = tmp_path / f"{layout}.csv"
    path.write_text(text, encoding="utf-8")
    intake = take(path, MAPPINGS.feeds[layout], as_of="2026-01-15")
    assert intake.is_usable, intake.problems
    return [dict(row) for row in intake.rows]


def test_edges_have_words_in_capitals_a_source_and_a_day_of_first_sight(tmp_path: Path) -> None:
    one, other, third = taken(tmp_path, "edges", EDGES)
    assert (one["kind"], one["pct_bp"], one["state"], one["source"]) == ("OWNS", 5100, "ACTIVE", "edges")
    assert (one["first_seen"], one["child_id"], one["as_of"]) == ("2026-01-15", "104346", "2026-01-15")
    assert (other["kind"], other["procurement"], other["state"]) == ("MANAGES", True, "ANNOUNCED")
    assert (other["source"], other["is_override"]) == ("cms_chow", False)
    assert (third["kind"], third["parent_type"], third["effective_from"]) == ("FINANCIAL_SPONSOR", "INVESTOR", None)


def test_records_of_who_decides_say_all_where_nothing_is_said(tmp_path: Path) -> None:
    one, other = taken(tmp_path, "authority", AUTHORITY)
    assert (one["function"], one["service_line"], one["category"]) == ("ALL", "CARDIOLOGY", "infusion_pumps")
    assert (one["level"], one["spend_limit_cents"], one["source"]) == ("SITE", 1_000_000, "REP")
    assert (other["function"], other["category"], other["source"]) == ("BUDGET", "ALL", "STEWARD")
    assert other["delegates_down"] is True


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("policies/authority.yaml", "tier_need: 0", "tier_need: 5", "tier_need is 5"),
        ("policies/authority.yaml", "archetype: IDN, level", "archetype: INDEPENDENT, level", "IDN has no line"),
        ("policies/triggers.yaml", "flags: [site]", "flags: [sites]", "'sites' is no relation"),
        ("policies/triggers.yaml", "window_days: 30", "window_days: 0", "window_days is 0"),
        ("policies/hierarchy.yaml", "steward: 10000", "stewart: 10000", "unknown source 'stewart'"),
    ],
)
def test_a_policy_that_cannot_hold_is_refused_with_its_place(
    tmp_path: Path, file: str, old: str, new: str, words: str
) -> None:
    text = (Path(__file__).parents[3] / "mappings" / file).read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "policies").mkdir()
    (tmp_path / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(MappingError) as refused:
        load(tmp_path)
    assert words in str(refused.value)
    assert file in str(refused.value)
