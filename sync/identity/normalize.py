"""Comparable forms of names, streets and cities, made column by column in Arrow.

Unicode work is not in narwhals, so it runs here on batches; each distinct word is treated once.
"""

from __future__ import annotations

import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_LEGAL = frozenset(
    (
        "inc",
        "incorporated",
        "llc",
        "corp",
        "corporation",
        "ltd",
        "limited",
        "lp",
        "llp",
        "pllc",
        "plc",
        "pc",
        "co",
        "company",
        "gmbh",
        "the",
    )
)
_NAME_WORDS = {
    "st": "saint",
    "ste": "sainte",
    "mt": "mount",
    "ft": "fort",
    "ctr": "center",
    "cntr": "center",
    "centre": "center",
    "hosp": "hospital",
    "hsp": "hospital",
    "med": "medical",
    "mem": "memorial",
    "meml": "memorial",
    "reg": "regional",
    "regl": "regional",
    "rgnl": "regional",
    "hlth": "health",
    "svc": "services",
    "svcs": "services",
    "service": "services",
    "univ": "university",
    "gen": "general",
    "comm": "community",
    "cmnty": "community",
    "dist": "district",
    "cnty": "county",
    "rehab": "rehabilitation",
    "ltac": "ltach",
    "sys": "system",
    "dept": "department",
    "assn": "association",
    "hosps": "hospitals",
}
_STREET_WORDS = {
    "north": "n",
    "south": "s",
    "east": "e",
    "west": "w",
    "northeast": "ne",
    "northwest": "nw",
    "southeast": "se",
    "southwest": "sw",
    "street": "st",
    "avenue": "ave",
    "av": "ave",
    "boulevard": "blvd",
    "road": "rd",
    "drive": "dr",
    "lane": "ln",
    "highway": "hwy",
    "parkway": "pkwy",
    "place": "pl",
    "court": "ct",
    "square": "sq",
    "circle": "cir",
    "route": "rte",
    "saint": "st",
    "suite": "ste",
    "building": "bldg",
    "first": "1st",
    "second": "2nd",
    "third": "3rd",
    "fourth": "4th",
    "fifth": "5th",
    "sixth": "6th",
    "seventh": "7th",
    "eighth": "8th",
    "ninth": "9th",
    "tenth": "10th",
}
_FORMER = r"(?i)\(\s*(?:fka|f/k/a|formerly)[^)]*\)?"
_APOSTROPHES = "['’‘`´.]"
_SEPARATORS = r"[^\p{L}\p{M}\p{N}]+"


def name_key(names: pa.Array) -> pa.Array:
    """Names without case, accents, punctuation, legal form and former name; usual abbreviations written out.

    Null where nothing is left. "St. Mary's Med. Ctr., Inc. (FKA Mercy)" gives "saint marys medical center".
    """
    return _by_words(pc.replace_substring_regex(names, _FORMER, " "), "name")


def street_key(streets: pa.Array) -> pa.Array:
    """Streets with directions and street types abbreviated; null where nothing is left."""
    return _by_words(streets, "street")


def city_key(cities: pa.Array) -> pa.Array:
    """Cities as names are compared: "St. Louis" and "Saint Louis" are one."""
    return _by_words(cities, "name")


def _by_words(texts: pa.Array, kind: str) -> pa.Array:
    text = pc.replace_substring(texts.cast(pa.string()), "&", " and ")
    text = pc.replace_substring_regex(text, _APOSTROPHES, "")
    text = pc.utf8_lower(pc.replace_substring_regex(text, _SEPARATORS, " "))
    split = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(text))
    words = split.values.dictionary_encode()
    known = pa.array([_word(word, kind) for word in words.dictionary.to_pylist()], pa.string())
    mapped = pc.take(known, words.indices) if len(words) else pa.array([], pa.string())
    joined = pc.binary_join(pa.ListArray.from_arrays(_offsets(split), mapped), " ")
    joined = pc.utf8_trim_whitespace(pc.replace_substring_regex(joined, " +", " "))
    empty = pc.or_kleene(pc.equal(joined, ""), pc.is_null(texts))
    return pc.if_else(empty, pa.scalar(None, pa.string()), joined)


def _offsets(split: pa.ListArray) -> pa.Array:
    """Offsets from zero: a sliced batch starts elsewhere, while `values` is the whole buffer."""
    return pa.array(np.asarray(split.offsets, dtype=np.int32))


def _word(word: str, kind: str) -> str:
    plain = word if word.isascii() else _without_accents(word)
    if kind == "street":
        return _STREET_WORDS.get(plain, plain)
    return "" if plain in _LEGAL else _NAME_WORDS.get(plain, plain)


def _without_accents(word: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c)).casefold()
