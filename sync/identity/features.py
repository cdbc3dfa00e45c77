"""Features of pairs of parties, as whole thousandths: the same on every engine and in batches of any size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from rapidfuzz import fuzz
from rapidfuzz.distance import JaroWinkler
from rapidfuzz.process import cpdist

from sync.identity.traits import MOST_TELLING, NOWHERE, UNIT_NAMES, Traits

ONE = 1000
"""A feature of one: similarities run from 0 to ONE, flags are 0 or ONE."""

NO_RIVAL = -30 * ONE
"""The score of the best rival where there is none."""

_WIDEST = 12 * ONE
Columns = dict[str, np.ndarray]
Scorer = Callable[..., float]
_KM_PER_UNIT = 0.01112  # one ten-thousandth of a degree of latitude
_NEAR_KM = (2, 8, 25, 60)


def compare(traits: Traits, left: np.ndarray, right: np.ndarray) -> Columns:
    """Feature name -> int64 column, for pairs given as row numbers into the traits."""
    made: Columns = {}
    for part in (_names, _words, _streets, _place, _contact, _kinds, _identifiers, _family):
        made |= part(traits, left, right)
    return made | _together(made)


def competition(score: np.ndarray, best_of_left: np.ndarray, best_of_right: np.ndarray) -> Columns:
    """Features of a pair among its rivals, from first scores in thousandths of a logit.

    `best_of_left` is the best score the left party reaches with any other on the right, `best_of_right` the contrary;
    NO_RIVAL where there is none.
    """
    mine, theirs = _clip(score - best_of_left), _clip(score - best_of_right)
    return {
        "first_score": _clip(score),
        "margin_left": mine,
        "margin_right": theirs,
        "least_margin": np.minimum(mine, theirs),
        "no_rival_left": _flag(best_of_left == NO_RIVAL),
        "no_rival_right": _flag(best_of_right == NO_RIVAL),
        "behind_left": np.minimum(mine, 0),
        "behind_right": np.minimum(theirs, 0),
    }


def _clip(scores: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(scores, -_WIDEST, _WIDEST), np.int64)


def _names(t: Traits, i: np.ndarray, j: np.ndarray) -> Columns:
    sets: dict[str, tuple[np.ndarray, np.ndarray, Scorer]] = {
        "name_sort": (t.names, t.aliases, fuzz.token_sort_ratio),
        "name_set": (t.names, t.aliases, fuzz.token_set_ratio),
        "name_letters": (t.names, t.aliases, fuzz.ratio),
        "name_part": (t.names, t.aliases, fuzz.partial_ratio),
        "core_sort": (t.cores, t.alias_cores, fuzz.token_sort_ratio),
        "core_set": (t.cores, t.alias_cores, fuzz.token_set_ratio),
        "core_start": (t.cores, t.alias_cores, JaroWinkler.similarity),
    }
    made = {name: _best(main, alias, i, j, scorer) for name, (main, alias, scorer) in sets.items()}
    made["name_equal"] = _flag((t.names[i] == t.names[j]) & (t.names[i] != ""))
    core_equal = (t.cores[i] == t.cores[j]) & (t.cores[i] != "")
    made["core_equal"] = _flag(core_equal)
    made["core_lone"] = _flag(
        core_equal & t.lone_core[i] & t.lone_core[j] & (t.texts["state"][i] == t.texts["state"][j])
    )
    made["core_unknown"] = _flag((t.cores[i] == "") | (t.cores[j] == ""))
    own = _similar(t.own_cores[i], t.own_cores[j], fuzz.token_set_ratio)
    made["own_core_set"] = np.where((t.own_cores[i] == "") | (t.own_cores[j] == ""), made["core_set"], own)
    made["core_telling"] = np.minimum(np.where(core_equal, t.telling[i], 0), 3 * ONE)
    made["lone_telling"] = made["core_telling"] * made["core_lone"] // ONE
    made["has_alias"] = _flag((t.aliases[i] != "") | (t.aliases[j] != ""))
    made["sides_differ"] = _flag(t.sides[i] != t.sides[j])
    return made


def _best(main: np.ndarray, alias: np.ndarray, i: np.ndarray, j: np.ndarray, scorer: Scorer) -> np.ndarray:
    """The best similarity between any name of one side and any of the other; 0 where a name is missing."""
    best = _similar(main[i], main[j], scorer)
    for a, b in ((alias, main), (main, alias), (alias, alias)):
        there = np.flatnonzero((a[i] != "") & (b[j] != ""))
        if (a is alias or b is alias) and len(there):
            best[there] = np.maximum(best[there], _similar(a[i[there]], b[j[there]], scorer))
    return best


def _similar(a: np.ndarray, b: np.ndarray, scorer: Scorer) -> np.ndarray:
    both = (a != "") & (b != "")
    made = np.zeros(len(a), np.int64)
    there = np.flatnonzero(both)
    if len(there):
        scores = cpdist(list(a[there]), list(b[there]), scorer=scorer, dtype=np.float64)
        made[there] = np.rint(scores * (ONE if scorer is JaroWinkler.similarity else ONE // 100)).astype(np.int64)
    return made


def _words(t: Traits, i: np.ndarray, j: np.ndarray) -> Columns:
    """Shared words by their rarity, and initials that stand for a name."""
    share, cover, rarest, initials = (np.zeros(len(i), np.int64) for _ in range(4))
    weigh, tokens, acronyms = t.words.get, t.tokens, t.acronyms
    totals = [sum(weigh(word, MOST_TELLING) for word in words) for words in tokens]
    for at, (a, b) in enumerate(zip(i.tolist(), j.tolist(), strict=True)):
        mine, theirs = tokens[a], tokens[b]
        held = [weigh(word, MOST_TELLING) for word in mine & theirs]
        if held:
            both = sum(held)
            least, all_ = min(totals[a], totals[b]), totals[a] + totals[b] - both
            cover[at] = ONE * both // least if least else 0
            share[at] = ONE * both // all_ if all_ else 0
            rarest[at] = max(held)
        initials[at] = ONE * bool(acronyms[a] & theirs or acronyms[b] & mine)
    return {"words_shared": share, "words_covered": cover, "rarest_word": rarest, "initials": initials}


def _streets(t: Traits, i: np.ndarray, j: np.ndarray) -> Columns:
    known = (t.streets[i] != "") & (t.streets[j] != "")
    numbered = (t.numbers[i] != "") & (t.numbers[j] != "")
    same_number = numbered & (t.numbers[i] == t.numbers[j])
    road = _similar(t.roads[i], t.roads[j], fuzz.token_sort_ratio)
    boxed = t.is_box[i] | t.is_box[j]
    unnumbered = (t.numbers[i] == "") & (t.numbers[j] == "") & ~boxed
    same_address = (same_number & (road >= 800)) | (unnumbered & _same(t.streets, i, j))
    return {
        "street_equal": _flag(known & (t.streets[i] == t.streets[j])),
        "street_like": _similar(t.streets[i], t.streets[j], fuzz.token_set_ratio),
        "road_like": road,
        "number_equal": _flag(same_number),
        "number_differs": _flag(numbered & ~same_number),
        "address_equal": _flag(same_address),
        "street_unknown": _flag(~known),
        "address_sole": _flag(same_number & (road >= 800) & (t.address_holders[i] == 1) & (t.address_holders[j] == 1)),
        "post_box": _flag(boxed),
    }


def _place(t: Traits, i: np.ndarray, j: np.ndarray) -> Columns:
    zips, cities = t.texts["zip5"], t.texts["city"]
    zip3 = [_flag(np.array([a[:3] == b[:3] != "" for a, b in zip(zips[i], zips[j], strict=True)], bool))]
    known = (t.latitude[i] != NOWHERE) & (t.latitude[j] != NOWHERE)
    km = _distance_km(t, i, j)
    near = {f"within_{limit}_km": _flag(known & (km <= limit)) for limit in _NEAR_KM}
    placed = (zips != "") | (t.streets != "")
    return {
        "zip_equal": _flag(_same(zips, i, j)),
        "zip3_equal": zip3[0],
        "zip_unknown": _flag(~((zips[i] != "") & (zips[j] != ""))),
        "city_equal": _flag(_same(cities, i, j)),
        "city_like": _similar(cities[i], cities[j], fuzz.ratio),
        "state_differs": _flag(_clash(t.texts["state"], i, j)),
        "distance_unknown": _flag(~known),
        "placed_one_only": _flag(placed[i] != placed[j]),
        **near,
    }


def _distance_km(t: Traits, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Whole kilometres, on a plane: exact enough below a hundred. Wild where a place is unknown."""
    north = (t.latitude[i] - t.latitude[j]).astype(np.float64)
    middle = np.radians(np.clip((t.latitude[i] + t.latitude[j]) / 20_000, -80, 80))
    east = (t.longitude[i] - t.longitude[j]) * np.cos(middle)
    return np.asarray(np.rint(np.hypot(north, east) * _KM_PER_UNIT), np.int64)


def _contact(t: Traits, i: np.ndarray, j: np.ndarray) -> Columns:
    phones, domains = t.texts["phone"], t.texts["domain"]
    exchange = np.array([a[:6] == b[:6] != "" for a, b in zip(phones[i], phones[j], strict=True)], bool)
    same_phone, same_domain = _same(phones, i, j), _same(domains, i, j)
    sole_phone = (t.phone_holders[i] == 1) & (t.phone_holders[j] == 1)
    sole_domain = (t.domain_holders[i] == 1) & (t.domain_holders[j] == 1)
    return {
        "phone_equal": _flag(same_phone),
        "phone_sole": _flag(same_phone & sole_phone),
        "exchange_equal": _flag(exchange),
        "phone_differs": _flag(_clash(phones, i, j)),
        "domain_equal": _flag(same_domain),
        "domain_sole": _flag(same_domain & sole_domain),
        "domain_differs": _flag(_clash(domains, i, j)),
    }


def _kinds(t: Traits, i: np.ndarray, j: np.ndarray) -> Columns:
    groups, specialties = t.texts["kind_group"], t.texts["specialty"]
    by_number = (t.texts["kind_from"][i] == "number") | (t.texts["kind_from"][j] == "number")
    lone = (t.neighbours[i] == 1) & (t.neighbours[j] == 1)
    few = (t.neighbours[i] <= 2) & (t.neighbours[j] <= 2) & (t.neighbours[i] > 0) & (t.neighbours[j] > 0)
    here = _same(t.texts["city"], i, j) & _same(t.texts["state"], i, j)
    either = t.units[i] | t.units[j]
    one_only = t.units[i] ^ t.units[j]
    bits = {name: 1 << bit for bit, name in enumerate(UNIT_NAMES)}
    told = ("rehab", "psych", "children", "surgical", "nursing", "home")
    named = {f"only_one_{name}": _flag((one_only & bits[name]) > 0) for name in told}
    return {
        "post_acute": _flag(_is_post_acute(groups[i]) | _is_post_acute(groups[j])),
        "group_equal": _flag(_same(groups, i, j)),
        "group_unknown": _flag(~_same(groups, i, j)),
        "kind_clash_by_number": _flag(_clash(groups, i, j) & by_number),
        "kind_clash_by_name": _flag(_clash(groups, i, j) & ~by_number),
        "subtype_equal": _flag(_same(t.subtypes, i, j)),
        "subtype_differs": _flag(_clash(t.subtypes, i, j)),
        "alone_in_city": _flag(here & lone),
        "few_in_city": _flag(here & few),
        "specialty_equal": _flag(_same(specialties, i, j)),
        "specialty_differs": _flag(_clash(specialties, i, j)),
        "unit_equal": _flag((either > 0) & (one_only == 0)),
        "unit_differs": _flag(one_only > 0),
        **named,
    }


def _identifiers(t: Traits, i: np.ndarray, j: np.ndarray) -> Columns:
    return {
        "ccn_equal": _flag(_same(t.texts["ccn"], i, j)),
        "ccn_differs": _flag(_clash(t.texts["ccn"], i, j)),
        "npi_equal": _flag(_same(t.texts["npi"], i, j)),
        "npi_differs": _flag(_clash(t.texts["npi"], i, j)),
        "vendor_id_differs": _flag(_clash(t.texts["vendor_id"], i, j)),
        "wrong_class": _flag(t.wrong_class[i] | t.wrong_class[j]),
    }


def _family(t: Traits, i: np.ndarray, j: np.ndarray) -> Columns:
    parents = t.texts["parent"]
    known = (parents[i] != "") & (parents[j] != "")
    held = [t.texts[name] for name in ("phone", "domain", "ccn", "npi", "parent", "kind_group")]
    filled = sum(((column != "").astype(np.int64) for column in held), np.zeros(len(parents), np.int64))
    return {
        "bare_record": _flag(filled[j] == 0),
        "known_of_record": filled[j] * ONE // len(held),
        "parent_like": _similar(parents[i], parents[j], fuzz.token_set_ratio),
        "parent_unknown": _flag(~known),
    }


def _together(made: Columns) -> Columns:
    """What two agreements say that neither says alone."""
    name, address = made["name_sort"], np.maximum(made["address_equal"], made["street_like"] * made["zip_equal"] // ONE)
    strong = np.maximum.reduce([made["phone_equal"], made["address_equal"], made["domain_sole"]])
    return {
        "name_and_address": name * address // ONE,
        "name_and_phone": name * made["phone_equal"] // ONE,
        "core_and_city": made["core_set"] * made["city_equal"] // ONE,
        "core_and_contact": made["core_sort"] * strong // ONE,
        "phone_and_address": made["phone_equal"] * address // ONE,
        "unlike_at_address": (ONE - made["core_set"]) * made["address_equal"] // ONE,
        "unlike_in_shared_building": (ONE - made["core_set"])
        * made["address_equal"]
        // ONE
        * made["post_acute"]
        // ONE,
        "unlike_post_acute": (ONE - made["core_set"]) * made["post_acute"] // ONE,
        "name_at_sole_address": made["name_sort"] * made["address_sole"] // ONE,
        "name_at_address": made["name_sort"] * made["address_equal"] // ONE,
        "same_sign": made["name_equal"] * made["address_equal"] // ONE * made["zip_equal"] // ONE,
        "unit_differs_at_address": made["unit_differs"] * address // ONE,
        "specialty_differs_at_address": made["specialty_differs"] * address // ONE,
    }


def _is_post_acute(groups: np.ndarray) -> np.ndarray:
    """Whether a kind is known and is none of a hospital: such organisations share buildings."""
    return np.asarray((groups != "") & (groups != "hospital") & (groups != "system"), bool)


def _flag(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, bool).astype(np.int64) * ONE


def _same(texts: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    return np.asarray((texts[i] == texts[j]) & (texts[i] != ""), bool)


def _clash(texts: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    return np.asarray((texts[i] != texts[j]) & (texts[i] != "") & (texts[j] != ""), bool)
