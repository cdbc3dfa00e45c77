"""What the identity model weighs: every feature of a pair of parties, by theme. Code computes, the policy weighs."""

from __future__ import annotations

THEMES: dict[str, tuple[str, ...]] = {
    "name": (
        *("name_sort", "name_set", "name_letters", "name_part", "core_sort", "core_set", "core_start", "name_equal"),
        *("core_equal", "core_lone", "core_unknown", "own_core_set", "core_telling", "lone_telling", "has_alias"),
        *("sides_differ", "words_shared", "words_covered", "rarest_word", "initials"),
    ),
    "address": (
        *("street_equal", "street_like", "road_like", "number_equal", "number_differs", "address_equal"),
        *("street_unknown", "post_box", "address_sole"),
    ),
    "place": (
        *("zip_equal", "zip3_equal", "zip_unknown", "city_equal", "city_like", "state_differs", "distance_unknown"),
        *(
            "within_2_km",
            "within_8_km",
            "within_25_km",
            "within_60_km",
            "alone_in_city",
            "few_in_city",
            "placed_one_only",
        ),
    ),
    "phone": ("phone_equal", "phone_sole", "exchange_equal", "phone_differs"),
    "web domain": ("domain_equal", "domain_sole", "domain_differs"),
    "kind": (
        *("group_equal", "group_unknown", "kind_clash_by_number", "kind_clash_by_name", "subtype_equal"),
        *("subtype_differs", "specialty_equal", "specialty_differs", "unit_equal", "unit_differs", "only_one_rehab"),
        *(
            "only_one_psych",
            "only_one_children",
            "only_one_surgical",
            "only_one_nursing",
            "only_one_home",
            "post_acute",
        ),
    ),
    "identifiers": ("ccn_equal", "ccn_differs", "npi_equal", "npi_differs", "vendor_id_differs", "wrong_class"),
    "parent": ("parent_like", "parent_unknown"),
    "agreements together": (
        *("name_and_address", "name_and_phone", "core_and_city", "core_and_contact", "phone_and_address"),
        *("unlike_at_address", "unit_differs_at_address", "specialty_differs_at_address"),
        *("unlike_in_shared_building", "unlike_post_acute", "name_at_sole_address", "name_at_address", "same_sign"),
    ),
    "what is known": (
        "bare_record",
        "known_of_record",
        "no_kind_record",
        "firm_bound",
        "record_bound",
        "bare_and_bound",
    ),
    "rivals": (
        *("first_score", "margin_left", "margin_right", "least_margin", "no_rival_left", "no_rival_right"),
        *("behind_left", "behind_right"),
    ),
}
"""Theme -> features. A waterfall shows one bar per theme: single features overlap too much to be read alone."""

RIVAL_FEATURES: tuple[str, ...] = THEMES["rivals"]
PAIR_FEATURES: tuple[str, ...] = tuple(name for theme, names in THEMES.items() if theme != "rivals" for name in names)
RECORD_FEATURES: tuple[str, ...] = tuple(name for name in PAIR_FEATURES if name not in THEMES["what is known"])
"""What two CRM records are weighed by: nothing that depends on which of the two comes first."""

SECOND_FEATURES: tuple[str, ...] = (
    *RIVAL_FEATURES,
    *("bare_and_bound", "firm_bound", "record_bound", "no_kind_record", "known_of_record", "post_acute"),
    *("alone_in_city", "few_in_city", "name_and_address", "core_set", "phone_equal", "address_equal"),
    *("specialty_differs", "unit_differs", "name_equal", "core_sort", "words_covered", "core_lone", "zip_equal"),
    *("group_equal", "own_core_set", "name_and_phone", "domain_sole", "address_sole"),
)
"""What the second stage weighs: the rivals, and the few facts that say how much a lead over them is worth."""

THEME_OF: dict[str, str] = {name: theme for theme, names in THEMES.items() for name in names}
