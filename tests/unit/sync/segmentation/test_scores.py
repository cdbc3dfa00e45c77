"""Scores: the worked cases, parts that add up, and why a score moved."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.engines import PolarsEngine
from mappings.insight_policy import Band, Behavior, Dimension, Feature, Missing, ScorePolicy
from mappings.schema import Header
from sync.engine import Engine
from sync.segmentation.scores import (
    FEATURES,
    Scored,
    card,
    decay_micro,
    explain_change,
    on_scale,
    saturated,
    score,
    scored,
)
from tests.fixtures.small_world import firm
from tests.unit.sync.segmentation.conftest import MAPPINGS, Profiles

HEADER = Header(id="scores", version=1, owner="a", effective_from="2020-01-01")
LINE = ((0, 0), (100, 100))


def policy(weights: dict[str, int], **changes: Any) -> ScorePolicy:
    """One number from 0 to 100 per dimension."""
    features = {"fit": "beds", "behavior": "intent", "tech": "contacts", "relationship": "champion"}
    words = Feature(weight=1, map={"60": 60})
    scales = {name: words if name == "relationship" else Feature(weight=1, knots=LINE) for name in weights}
    dimensions = {
        name: Dimension(weight=weight, features={features[name]: scales[name]}) for name, weight in weights.items()
    }
    bands = (Band(id="A", at_least=70), Band(id="B", at_least=0))
    return ScorePolicy(policy=HEADER, dimensions=dimensions, bands=bands, **changes)


T19 = policy({"fit": 40, "behavior": 25, "tech": 15, "relationship": 20})
T19_ROW = {"beds": 80, "intent": 40, "contacts": None, "champion": "60"}


def one(row: dict[str, Any], of: ScorePolicy) -> tuple[int, int, str, dict[str, Any]]:
    totals, covered, bands, told, _ = scored({k: [v] for k, v in row.items()}, ["IDN"], [None], card(of))
    return totals[0], covered[0], bands[0], json.loads(told[0])


def test_T19_R31_a_missing_dimension_takes_the_neutral_prior_and_does_not_count_as_covered() -> None:
    # 0.40 x 80 + 0.25 x 40 + 0.15 x 50 + 0.20 x 60 = 61.5
    total, covered, _, told = one(T19_ROW, T19)
    assert (total, covered) == (615, 8500)
    assert told["contacts"] == [50, 75, False]
    assert sum(part for _, part, _ in told.values()) == total


def test_T20_deleting_data_never_lifts_a_score_above_what_peers_have() -> None:
    known = one({**T19_ROW, "contacts": 50}, T19)[0]
    assert one(T19_ROW, T19)[0] == known


def test_T21_a_signal_halves_with_every_half_life() -> None:
    # 20 x 0.5^(45/30) = 7.07
    assert 20 * decay_micro(45, 30) // 10_000 == 707


def test_a_scale_is_straight_between_knots_and_flat_beyond() -> None:
    knots = ((0, 0), (200, 40), (1000, 100))
    assert [on_scale(knots, v) for v in (-5, 0, 100, 200, 600, 1000, 5000)] == [0, 0, 20, 40, 70, 100, 100]


def test_engagement_saturates() -> None:
    # 100 x (1 - 1/e) = 63.2 at the saturation
    assert [saturated(p, 40) for p in (0, 4000, 400_000)] == [0, 63, 100]


def test_too_little_known_gives_no_band_and_a_gate_no_score_band() -> None:
    sparse = scored(
        {"beds": [80], "intent": [None], "contacts": [None], "champion": [None]}, ["IDN"], [None], card(T19)
    )
    gated = scored({k: [v] for k, v in T19_ROW.items()}, ["IDN"], ["closed"], card(T19))
    assert (sparse[2], gated[2]) == (["INSUFFICIENT"], ["GATED"])


def test_R32_a_dimension_may_weigh_nothing() -> None:
    total, covered, _, told = one(T19_ROW, policy({"fit": 60, "behavior": 25, "tech": 15, "relationship": 0}))
    assert "champion" not in told
    assert (total, covered) == (655, 8500)  # 48 + 10 + 7.5


@settings(max_examples=60, deadline=None)
@given(
    values=st.tuples(*[st.one_of(st.none(), st.integers(0, 100))] * 3),
    weights=st.tuples(st.integers(0, 60), st.integers(0, 40)),
)
def test_the_parts_shown_always_add_up_to_the_score_shown(
    values: tuple[int | None, ...], weights: tuple[int, int]
) -> None:
    of = policy({"fit": weights[0], "behavior": weights[1], "tech": 100 - sum(weights)})
    total, _, _, told = one(dict(zip(("beds", "intent", "contacts"), values, strict=True)), of)
    assert sum(part for _, part, _ in told.values()) == total
    assert 0 <= total <= 1000


def test_what_is_missing_takes_the_median_of_its_own_type() -> None:
    engine: Engine = PolarsEngine()
    of = policy({"fit": 100}, missing=Missing(min_peers=3))
    rows = [{"account_id": str(i), "segment": "IDN", "beds": beds} for i, beds in enumerate((10, 70, 90, None))]
    rows += [{"account_id": "9", "segment": "ASC", "beds": None}]
    found = {r["account_id"]: r["score_tenths"] for r in engine.rows(score(engine.table(rows, FEATURES), of, engine))}
    assert (found["3"], found["9"]) == (700, 500)  # the median of three peers; without peers the default


def test_a_change_of_score_is_split_into_data_decay_and_policy_and_adds_up() -> None:
    old = ScorePolicy(
        policy=HEADER,
        dimensions={
            "fit": Dimension(weight=60, features={"beds": Feature(weight=1, knots=LINE)}),
            "behavior": Dimension(weight=40, features={"engagement": Feature(weight=1, knots=LINE)}),
        },
        behavior=Behavior(half_life_days=30, saturation=40),
    )
    new = old.model_copy(update={"dimensions": {
        "fit": Dimension(weight=50, features=old.dimensions["fit"].features),
        "behavior": Dimension(weight=50, features=old.dimensions["behavior"].features),
    }})  # fmt: skip
    before = Scored(features={"beds": 50, "engagement": 4000}, segment="IDN", card=card(old))
    after = Scored(features={"beds": 80, "engagement": 2000}, segment="IDN", card=card(new))
    moved = {m.feature: (m.data, m.decay, m.policy) for m in explain_change(before, after, days=30)}
    # beds: 60 x (80 - 50) % = 18.0 by data, then -10 % of 80 by policy
    assert moved["beds"] == (180, 0, -80)
    # engagement halves by itself in 30 days: nothing of its change is data
    assert moved["engagement"][0] == 0
    assert moved["engagement"][1] < 0 < moved["engagement"][2]
    totals = [
        scored({k: [v] for k, v in s.features.items()}, [s.segment], [None], s.card)[0][0] for s in (before, after)
    ]
    assert sum(sum(parts) for parts in moved.values()) == totals[1] - totals[0]


def signal(kind: str, day: str, **values: Any) -> dict[str, Any]:
    return {"feed": "sixsense", "domain": "one.example", "kind": kind, "occurred_on": day, **values}


def test_a_person_counts_once_a_day_and_a_kind_is_capped(profile_of: Profiles) -> None:
    visits = [signal("web_visit", "2026-01-15", person=f"p{i}") for i in range(30)]
    twice = [signal("demo_view", "2026-01-15", person="a", topic=t) for t in ("x", "y")]
    row = profile_of(firms=[firm("1", "One", domain="one.example")], signals=[*visits, *twice])["1"]
    # 30 visits are capped at 10 points, and one person's demo counts once: 10 + 10 points
    assert json.loads(row["features"])["engagement"] == 2000


def test_R73_two_strong_signals_in_two_weeks_are_high_intent(profile_of: Profiles) -> None:
    firms = [firm("1", "One", domain="one.example")]
    near = [signal("demo_view", "2026-01-14", person="a"), signal("form_fill", "2026-01-05", person="a")]
    weak = [signal("web_visit", "2026-01-14", person="a"), signal("form_fill", "2026-01-05", person="a")]
    old = [signal("demo_view", "2026-01-14", person="a"), signal("form_fill", "2025-12-31", person="a")]
    assert [profile_of(firms=firms, signals=s)["1"]["high_intent"] for s in (near, weak, old)] == [True, False, False]


def test_intent_is_the_strongest_recent_topic_and_a_shared_domain_is_nobodys(profile_of: Profiles) -> None:
    surge = [signal("intent", "2026-01-01", topic=t, strength=s) for t, s in (("x", 70), ("y", 55))]
    stale = signal("intent", "2025-09-01", topic="z", strength=99)
    alone = profile_of(firms=[firm("1", "One", domain="one.example")], signals=[*surge, stale])["1"]
    shared = profile_of(
        firms=[firm(i, f"H{i}", zip5=f"6760{i}", domain="one.example") for i in "12"], signals=surge
    )  # fmt: skip
    assert json.loads(alone["features"])["intent"] == 70
    assert "intent" not in json.loads(shared["1"]["features"])


def test_the_shipped_weights_are_whole() -> None:
    shipped = card(MAPPINGS.policies.scores)
    assert sum(leaf.weight for leaf in shipped.leaves) == shipped.denominator
