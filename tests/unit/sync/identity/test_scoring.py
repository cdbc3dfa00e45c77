"""Blocks, features, rivals and scores: whole numbers that do not depend on batches, order or other pairs."""

from __future__ import annotations

import narwhals as nw
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.engines import PolarsEngine
from mappings.evidence import PAIR_FEATURES, RECORD_FEATURES, RIVAL_FEATURES, SECOND_FEATURES
from mappings.identity_policy import Weights
from mappings.load import load
from sync.identity.candidates import BLOCKED, candidates
from sync.identity.features import NO_RIVAL, ONE, compare, competition
from sync.identity.model import START, chance, contributions, contributions_alone, score
from sync.identity.parties import make_parties
from sync.identity.rivals import best_other
from sync.identity.traits import COUNTED, RAW, Traits, make_traits, word_weights
from tests.fixtures.small_world import Row, account, firm, world

MAPPINGS = load()


def traits(*parties: Row) -> Traits:
    blank = dict.fromkeys(RAW, None) | {"rank": 10, "wrong_class": False, "phone_holders": 1, "domain_holders": 1}
    rows = [blank | {"source": "s", "source_id": str(n), **one} for n, one in enumerate(parties)]
    schema = pa.schema([(name, pa.string()) for name in RAW] + [(COUNTED[0], pa.int64()), (COUNTED[1], pa.bool_())])
    for name in COUNTED[2:]:
        schema = schema.append(pa.field(name, pa.int64()))
    return make_traits(pa.Table.from_pylist(rows, schema=schema), MAPPINGS.places, {"hospital": 0})


def of_pair(one: Row, other: Row) -> dict[str, int]:
    made = compare(traits(one, other), np.array([0]), np.array([1]))
    return {name: int(values[0]) for name, values in made.items()}


def test_a_doing_business_as_name_counts_as_a_name() -> None:
    made = of_pair({"name": "UBH of Oregon LLC D/B/A Cedar Hills"}, {"name": "Cedar Hills"})
    assert (made["name_sort"], made["has_alias"]) == (ONE, ONE)


def test_a_former_name_counts_as_a_name() -> None:
    made = of_pair({"name": "Unity Hospital", "former_name": "Hays Medical Center"}, {"name": "Hays Med Ctr"})
    assert made["name_sort"] == ONE


def test_a_bracketed_unit_is_part_of_the_name_and_sets_the_two_apart() -> None:
    made = of_pair({"name": "Hays Hospital"}, {"name": "Hays Hospital (Rehab)"})
    assert made["unit_differs"] == made["only_one_rehab"] == ONE


def test_initials_stand_for_a_name() -> None:
    assert of_pair({"name": "Carle Foundation Hospital"}, {"name": "CFH"})["initials"] == ONE


def test_streets_are_compared_in_their_usual_abbreviations() -> None:
    made = of_pair({"street": "172 Fourth Street Southeast"}, {"street": "172 4th St. SE"})
    assert (made["street_equal"], made["address_equal"], made["number_differs"]) == (ONE, ONE, 0)


def test_a_street_without_a_number_is_an_address_when_both_name_it() -> None:
    square = of_pair({"street": "Two Stone Harbor Blvd"}, {"street": "Two Stone Harbor Boulevard"})
    box = of_pair({"street": "PO Box"}, {"street": "PO Box"})
    assert (square["address_equal"], box["address_equal"]) == (ONE, 0)


def test_a_party_without_any_place_is_told_from_one_that_has_an_address() -> None:
    assert of_pair({"name": "A"}, {"name": "A", "street": "1 Main St"})["placed_one_only"] == ONE
    assert of_pair({"name": "A"}, {"name": "A"})["placed_one_only"] == 0


def test_what_weighs_two_records_does_not_depend_on_which_comes_first() -> None:
    one = {"name": "Hays Medical Center", "street": "1 Main St", "zip5": "67601", "phone": "7856235000"}
    other = {"name": "Hays Med Ctr (Rehab)", "street": "1 Main Street", "ccn": "17T013", "kind": "Hospital"}
    forth, back = of_pair(one, other), of_pair(other, one)
    assert {name: forth[name] for name in RECORD_FEATURES} == {name: back[name] for name in RECORD_FEATURES}


def test_what_is_missing_neither_agrees_nor_contradicts() -> None:
    made = of_pair({"name": "A", "phone": "7856235000"}, {"name": "A"})
    assert made["phone_equal"] == made["phone_differs"] == made["npi_differs"] == 0
    assert made["street_unknown"] == made["zip_unknown"] == made["distance_unknown"] == ONE


def test_distance_comes_from_the_zip_codes() -> None:
    near, far = of_pair({"zip5": "67601"}, {"zip5": "67601"}), of_pair({"zip5": "67601"}, {"zip5": "10010"})
    assert (near["within_2_km"], far["within_60_km"]) == (ONE, 0)


def test_a_pair_scores_the_same_alone_and_in_company() -> None:
    made = traits(*({"name": f"{word} Hospital", "zip5": "67601"} for word in ("Hays", "Mercy", "Prairie", "Hay")))
    i, j = np.array([0, 1, 2, 0]), np.array([1, 2, 3, 3])
    whole = compare(made, i, j)
    for at in range(len(i)):
        alone = compare(made, i[at : at + 1], j[at : at + 1])
        assert {name: int(values[0]) for name, values in alone.items()} == {
            name: int(values[at]) for name, values in whole.items()
        }


def test_the_code_computes_every_feature_that_policies_may_weigh() -> None:
    made = compare(traits({"name": "A"}, {"name": "B"}), np.array([0]), np.array([1]))
    context = {"firm_bound", "record_bound", "no_kind_record", "bare_and_bound"}
    assert set(made) | context == set(PAIR_FEATURES)
    assert set(competition(np.array([0]), np.array([0]), np.array([0]))) == set(RIVAL_FEATURES)


def test_the_best_rival_is_the_best_other_of_the_group() -> None:
    scores, groups = np.array([5, 9, 7, 1]), np.array([1, 1, 1, 2])
    assert best_other(scores, groups).tolist() == [9, 7, 9, NO_RIVAL]


def test_a_score_is_a_dot_product_in_thousandths() -> None:
    weights = Weights(intercept=-1_000_000, coefficients={"a": 2_000_000, "b": -500_000})
    made = score({"a": np.array([1000, 0]), "b": np.array([1000, 500])}, weights)
    assert made.tolist() == [500, -1250]
    assert chance(0) == pytest.approx(0.5)


def test_common_words_tell_less_than_rare_ones() -> None:
    weights = word_weights(["mercy hospital"] * 30 + ["hays hospital"] * 6)
    assert weights["hospital"] == 0 < weights["mercy"] < weights["hays"]


def pairs(left: list[Row], right: list[Row], largest: int = 400) -> set[tuple[str, str]]:
    engine = PolarsEngine()
    parties = make_parties(world(firms=left, records=right), engine).select(*BLOCKED)
    mine, theirs = (parties.filter(nw.col("source") == name) for name in ("definitive", "salesforce"))
    found = candidates(mine, theirs, MAPPINGS.places, largest, engine)
    return {(row["source_id"], row["source_id__other"]) for row in engine.rows(found)}


def test_neighbouring_cells_meet_and_far_places_do_not() -> None:
    near = account("A", "X", city="Elsewhere", zip5="67637")
    far = account("B", "Y", city="Chicago", state="IL", zip5="60601")
    assert pairs([firm("1", "Z", city="Nowhere", zip5="67601")], [near, far]) <= {("1", "A")}
    assert pairs([firm("1", "Z")], [account("C", "Q", city="Else")]) == {("1", "C")}


def test_a_block_that_is_too_large_is_dropped_whole() -> None:
    lefts = [firm(str(n), f"Firm{n}", city=None) for n in range(5)]
    rights = [account(str(n), f"Other{n}", city=None) for n in range(5)]
    assert len(pairs(lefts, rights, largest=25)) == 25
    assert pairs(lefts, rights, largest=24) == set()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_parts_of_a_score_sum_to_it_exactly(seed: int) -> None:
    random, model = np.random.default_rng(seed), MAPPINGS.policies.identity.model
    assert model is not None
    features = {name: random.integers(0, ONE + 1, 5) for name in (*PAIR_FEATURES, *RIVAL_FEATURES)}
    features["first_score"] = random.integers(-12 * ONE, 12 * ONE, 5)
    for parts, scores in (
        (contributions(features, model), score(features, model.second)),
        (contributions_alone(features, model.same_record), score(features, model.same_record)),
    ):
        assert [sum(one.values()) for one in parts] == scores.tolist()
        assert all(START in one for one in parts)
    assert set(SECOND_FEATURES) <= set(features)
