"""Traits: what two parties are compared by, made once per party.

Only parties that some block brought together get traits; they are held as plain arrays, so that a pair is two row
numbers and the comparison of many pairs is columnar.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from sync.identity.identifiers import ccn_class
from sync.identity.normalize import city_key, name_key, street_key, without_place

Places = Mapping[str, tuple[int, int]]
"""ZIP code -> latitude and longitude of its tabulation area, in ten-thousandths of a degree."""

_GENERIC_WORDS = (
    "hospital hospitals medical center centers health healthcare care system systems services regional community "
    "memorial general clinic and of at for in a the campus facility inpatient acute network group llc inc district "
    "county city university"
)
_WEAK_WORDS = "and of at for in a the"
_SIDE_WORDS = (
    "north south east west northeast northwest southeast southwest central upper lower main i ii iii iv 1 2 3 4"
)
_GENERIC, _WEAK, _SIDES = (frozenset(words.split()) for words in (_GENERIC_WORDS, _WEAK_WORDS, _SIDE_WORDS))
_ALIAS = re.compile(
    r"(?i)\b(?:d\.?\s?/?\s?b\.?\s?/?\s?a\.?|doing business as|a\.?k\.?a\.?|f\.?\s?/?\s?k\.?\s?/?\s?a\.?"
    r"|formerly(?: known as)?|also known as)\b[\s:.]*"
)
_NUMBER = re.compile(r"^(\d+)[a-z]?\b")
_UNIT_PART = re.compile(r"\b(?:ste|unit|fl|floor|rm|room|bldg)\b.*$")
_BOX = re.compile(r"\b(?:p ?o ?box|po box|box)\b")
_UNITS: tuple[tuple[str, str], ...] = (
    ("rehab", r"\brehab"),
    ("psych", r"\b(?:psych|behavioral|mental|geropsych)"),
    ("ltch", r"\b(?:ltach?|ltch|long term acute|specialty hospital|transitional)\b"),
    ("children", r"\b(?:childrens?|pediatric|shriners)\b"),
    ("veterans", r"\b(?:va|veterans?|vamc|vahcs)\b"),
    ("women", r"\b(?:womens?|maternity)\b"),
    ("heart", r"\b(?:heart|cardiac|cardiovascular)\b"),
    ("cancer", r"\b(?:cancer|oncology)\b"),
    ("surgical", r"\b(?:surgical|surgery|orthopa?edic|spine)\b"),
    ("hospice", r"\bhospice\b"),
    ("home", r"\b(?:home health|home care|homecare|vna|visiting nurse)"),
    ("dialysis", r"\b(?:dialysis|renal|kidney|nephrology)\b"),
    ("nursing", r"\b(?:nursing|snf|skilled|manor|convalescent|living)\b"),
    ("military", r"\b(?:army|naval|air force|afb|medical group|military)\b"),
    ("state", r"\bstate hospital\b"),
)
_SUBTYPES = (
    ("va hospital", "veterans"),
    ("defense", "military"),
    ("child", "children"),
    ("critical access", "cah"),
    ("psychiatric", "psych"),
    ("rehabilitation", "rehab"),
    ("long term", "ltch"),
    ("acute", "acute"),
)
_SUBTYPE_OF_CLASS = {
    **{name: name for name in ("acute", "cah", "psych", "rehab", "ltch")},
    "childrens": "children",
    "psych_unit": "psych",
    "rehab_unit": "rehab",
}
UNIT_NAMES = tuple(name for name, _ in _UNITS)
_UNIT_PATTERNS = tuple(re.compile(pattern) for _, pattern in _UNITS)
NOWHERE = -(10**9)
MOST_TELLING = 1000

RAW = (
    *("source", "source_id", "name", "former_name", "street", "city", "state", "zip5", "phone", "domain"),
    *("parent_name", "kind", "kind_group", "kind_from", "specialty", "ccn", "npi", "vendor_id"),
)
"""Text columns traits are made of."""

COUNTED = ("rank", "wrong_class", "phone_holders", "domain_holders")
"""Further columns: whether the number is of a wrong class, and how many of the same source hold the value."""

TEXTS = (
    *("city", "state", "zip5", "phone", "domain", "parent", "kind_group", "kind_from", "specialty", "ccn", "npi"),
    "vendor_id",
)


@dataclass(frozen=True, slots=True)
class Traits:
    """Parallel arrays, one entry per party. Text is "" where unknown."""

    names: np.ndarray  # comparable name
    aliases: np.ndarray  # former or doing-business-as name, else ""
    cores: np.ndarray  # name without generic words and the own city
    alias_cores: np.ndarray
    tokens: tuple[frozenset[str], ...]  # words of name and alias
    acronyms: tuple[frozenset[str], ...]
    sides: np.ndarray  # words that tell campuses apart, sorted
    units: np.ndarray  # bit per entry of UNIT_NAMES that name or alias mentions
    streets: np.ndarray
    numbers: np.ndarray  # street number
    roads: np.ndarray  # street without number and suite
    is_box: np.ndarray
    texts: Mapping[str, np.ndarray]  # by name of TEXTS
    own_cores: np.ndarray  # core without the words and initials of the parent's name
    subtypes: np.ndarray  # finer kind of a hospital
    neighbours: np.ndarray  # parties of the same side in the same city that could be of the same kind, itself included
    telling: np.ndarray  # how telling the words of the core are together, thousandths
    latitude: np.ndarray  # ten-thousandths of a degree, NOWHERE where unknown
    longitude: np.ndarray
    wrong_class: np.ndarray
    address_holders: np.ndarray  # parties of the same side at the same street number and ZIP code
    lone_core: np.ndarray  # the core occurs once in its state within its source
    phone_holders: np.ndarray  # parties of the same source with the same phone
    domain_holders: np.ndarray
    words: Mapping[str, int]  # how telling a word is, in thousandths; MOST_TELLING where it is not listed


def make_traits(table: pa.Table, places: Places, words: Mapping[str, int]) -> Traits:
    """Traits of the parties of a table with the columns of RAW and COUNTED, in its order.

    `words` says how telling a common word is, in thousandths; a word that is not in it tells most.
    """
    raw = {name: _plain(table[name]) for name in RAW}
    cities = _plain(city_key(_array(table, "city")))
    split = [_split_name(name, former) for name, former in zip(raw["name"], raw["former_name"], strict=True)]
    mains = pa.array([main for main, _ in split], pa.string())
    names = _plain(name_key(without_place(mains, _array(table, "city"))))
    aliases = _plain(name_key(pa.array([alias for _, alias in split], pa.string())))
    streets = _plain(street_key(_array(table, "street")))
    cores = [_core(name, city) for name, city in zip(names, cities, strict=True)]
    tokens = tuple(_words(a) | _words(b) for a, b in zip(names, aliases, strict=True))
    roads = [_UNIT_PART.sub("", _NUMBER.sub("", street)).strip() for street in streets]
    points = [places.get(code, (NOWHERE, NOWHERE)) for code in raw["zip5"]]
    parents = _plain(name_key(_array(table, "parent_name")))
    made = {**raw, "city": [city.replace(" ", "") for city in cities], "parent": parents}
    sources = raw["source"]
    return Traits(
        names=_objects(names),
        aliases=_objects(aliases),
        cores=_objects(cores),
        alias_cores=_objects([_core(name, city) for name, city in zip(aliases, cities, strict=True)]),
        tokens=tokens,
        acronyms=tuple(_acronyms(a) | _acronyms(b) for a, b in zip(names, aliases, strict=True)),
        sides=_objects([" ".join(sorted(_words(name) & _SIDES)) for name in names]),
        units=np.array([_unit_bits(f"{a} {b}") for a, b in zip(names, aliases, strict=True)], np.int64),
        streets=_objects(streets),
        numbers=_objects([m[1] if (m := _NUMBER.match(street)) else "" for street in streets]),
        roads=_objects(roads),
        is_box=np.array([bool(_BOX.search(street)) for street in streets], bool),
        texts={name: _objects(made[name]) for name in TEXTS},
        own_cores=_objects([_without_parent(core, parent) for core, parent in zip(cores, parents, strict=True)]),
        subtypes=_objects([_subtype(kind, ccn) for kind, ccn in zip(raw["kind"], raw["ccn"], strict=True)]),
        neighbours=_neighbours(table["rank"].to_pylist(), raw["state"], cities, raw["kind_group"]),
        telling=np.array([sum(words.get(w, MOST_TELLING) for w in core.split()) for core in cores], np.int64),
        latitude=np.array([point[0] for point in points], np.int64),
        longitude=np.array([point[1] for point in points], np.int64),
        wrong_class=np.array(table["wrong_class"].to_pylist(), bool),
        address_holders=_holders(
            ["firm" if rank == 0 else "record" for rank in table["rank"].to_pylist()],
            raw["zip5"],
            [m[1] if (m := _NUMBER.match(street)) else "" for street in streets],
        ),
        lone_core=_holders(sources, raw["state"], cores) == 1,
        phone_holders=np.array(table["phone_holders"].to_pylist(), np.int64),
        domain_holders=np.array(table["domain_holders"].to_pylist(), np.int64),
        words=words,
    )


def _array(table: pa.Table, name: str) -> pa.Array:
    column = table[name]
    return (column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column).cast(pa.string())


def _plain(column: Any) -> list[str]:
    return [value or "" for value in column.to_pylist()]


def _objects(values: Sequence[str]) -> np.ndarray:
    made = np.empty(len(values), object)
    made[:] = values
    return made


def _words(name: str) -> frozenset[str]:
    return frozenset(name.split()) - _WEAK


def _split_name(name: str, former: str) -> tuple[str, str]:
    """The name and its alias: a former name, one in brackets, or what follows "doing business as"."""
    parts = [part for part in _ALIAS.split(name.replace("(", " ").replace(")", " ")) if part.strip()]
    return (parts[0] if parts else name), former or " ".join(parts[1:])


def _core(name: str, city: str) -> str:
    own = frozenset(city.split())
    words = [word for word in name.split() if word not in _GENERIC]
    return " ".join([word for word in words if word not in own] or words)


def _without_parent(core: str, parent: str) -> str:
    """What tells a member from its system: the core without the system's words and initials."""
    taken = _words(parent) | _acronyms(parent)
    return " ".join(word for word in core.split() if word not in taken)


def _subtype(kind: str, ccn: str) -> str:
    """Finer kind of a hospital, by its type text, else by its number."""
    text = kind.casefold()
    named = next((subtype for word, subtype in _SUBTYPES if word in text), "")
    return named or _SUBTYPE_OF_CLASS.get(ccn_class(ccn) if ccn else "", "")


def _neighbours(ranks: Sequence[int], states: Sequence[str], cities: Sequence[str], kinds: Sequence[str]) -> np.ndarray:
    """How many parties of the same side share city and state and are not known to be of another kind."""
    places = [(rank == 0, state, city) for rank, state, city in zip(ranks, states, cities, strict=True)]
    every, of_kind = Counter(places), Counter(zip(places, kinds, strict=True))
    found = [
        (every[place] if not kind else of_kind[place, kind] + of_kind[place, ""]) if place[2] else 0
        for place, kind in zip(places, kinds, strict=True)
    ]
    return np.array(found, np.int64)


def _acronyms(name: str) -> frozenset[str]:
    """Initials of the words, with and without the small ones, where there are three or more."""
    words = name.split()
    made = {"".join(word[0] for word in words), "".join(word[0] for word in words if word not in _WEAK)}
    return frozenset(word for word in made if len(word) >= 3)


def _unit_bits(name: str) -> int:
    return sum(1 << bit for bit, pattern in enumerate(_UNIT_PATTERNS) if pattern.search(name))


def _holders(sources: Sequence[str], *columns: Sequence[str]) -> np.ndarray:
    """How many parties of the same source have the same values; 0 where the last is unknown."""
    keys = list(zip(sources, *columns, strict=True))
    counts = Counter(keys)
    return np.array([counts[key] if key[-1] else 0 for key in keys], np.int64)


def word_weights(names: Sequence[str], *, least: int = 6) -> dict[str, int]:
    """How telling the common words of comparable names are: 0 for one that all names have, MOST_TELLING for a rare one.

    Words in fewer than `least` names are left out. Source: inverse document frequency.
    """
    counts = Counter(word for name in names for word in _words(name))
    most = math.log(max(len(names), 2))
    common = {word: count for word, count in counts.items() if count >= least}
    return {word: round(MOST_TELLING * (1 - math.log(count) / most)) for word, count in sorted(common.items())}
