"""Comparable forms of names, streets and cities, made column by column in Arrow.

Unicode work is not in narwhals, so it runs here on batches; only words beyond ASCII are looked at one by one.
"""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_LEGAL = (
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
    "sr": "senior",
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
_ENDING = re.compile(r"\s+[-–—]\s+([^-–—]+?)\s*$")
_WRITTEN_AND_MEANT = {
    "name": (pa.array([*_LEGAL, *_NAME_WORDS]), pa.array([*("" for _ in _LEGAL), *_NAME_WORDS.values()])),
    "street": (pa.array([*_STREET_WORDS]), pa.array([*_STREET_WORDS.values()])),
}
_APOSTROPHES = "['’‘`´.]"
_DROPPED = "\x7f"  # stands for an apostrophe until all of them are taken out at once
_SEPARATORS = r"[^\p{L}\p{M}\p{N}]+"


def _ascii_table() -> np.ndarray:
    """Per byte what is left of it: small letters and digits, a space, or _DROPPED."""
    table = np.full(256, ord(" "), np.uint8)
    for code in range(128):
        if chr(code).isalnum():
            table[code] = ord(chr(code).lower())
    table[[ord(mark) for mark in "'`."]] = ord(_DROPPED)
    return table


_ASCII = _ascii_table()


def name_key(names: pa.Array) -> pa.Array:
    """Names without case, accents, punctuation, legal form and former name; usual abbreviations written out.

    Null where nothing is left. "St. Mary's Med. Ctr., Inc. (FKA Mercy)" gives "saint marys medical center".
    """
    names = names.cast(pa.string())
    if _have(names, "("):
        names = pc.replace_substring_regex(names, _FORMER, " ")
    return _by_words(names, "name")


def street_key(streets: pa.Array) -> pa.Array:
    """Streets with directions and street types abbreviated; null where nothing is left."""
    return _by_words(streets, "street")


def city_key(cities: pa.Array) -> pa.Array:
    """Cities as names are compared: "St. Louis" and "Saint Louis" are one. Each distinct city is treated once."""
    encoded = cities.cast(pa.string()).dictionary_encode()
    keys = _by_words(encoded.dictionary, "name")
    return pc.take(keys, encoded.indices) if len(keys) else pa.nulls(len(cities), pa.string())


def without_place(names: pa.Array, cities: pa.Array) -> pa.Array:
    """Names without a trailing "- City" of their own; other endings stay, since they tell campuses apart."""
    ended = pc.fill_null(pc.match_substring_regex(names, r"\s[-–—]\s"), fill_value=False)
    if not pc.any(ended).as_py():
        return names.cast(pa.string())
    pairs = zip(names.filter(ended).to_pylist(), cities.filter(ended).to_pylist(), strict=True)
    shortened = pa.array([_shortened(name, city) for name, city in pairs], pa.string())
    return pc.replace_with_mask(names.cast(pa.string()), ended, shortened)


def _shortened(name: str | None, city: str | None) -> str | None:
    found = _ENDING.search(name) if name and city else None
    return name[: found.start()] if name and city and found and found[1].casefold() == city.casefold() else name


def _by_words(texts: pa.Array, kind: str) -> pa.Array:
    if texts.null_count == len(texts):
        return pa.nulls(len(texts), pa.string())
    text = texts.cast(pa.string())
    if _have(text, "&"):
        text = pc.replace_substring(text, "&", " and ")
    split = pc.ascii_split_whitespace(pc.ascii_trim_whitespace(_without_marks(text)))  # no other space is left
    joined = pc.binary_join(pa.ListArray.from_arrays(_offsets(split), _words(split.values, kind)), " ")
    joined = pc.utf8_trim_whitespace(joined)
    if _have(joined, "  "):
        joined = pc.replace_substring_regex(joined, " +", " ")
    empty = pc.or_kleene(pc.equal(joined, ""), pc.is_null(texts))
    return pc.if_else(empty, pa.scalar(None, pa.string()), joined)


def _without_marks(texts: pa.Array) -> pa.Array:
    """Texts in small letters without apostrophes and full stops; what is no letter or digit becomes a space."""
    beyond = pc.fill_null(pc.invert(pc.string_is_ascii(texts)), fill_value=False)
    plain = _translated(texts)
    if not pc.any(beyond).as_py():
        return plain
    few = pc.replace_substring_regex(texts.filter(beyond), _APOSTROPHES, "")
    few = pc.utf8_lower(pc.replace_substring_regex(few, _SEPARATORS, " "))
    return pc.replace_with_mask(plain, beyond, few)


def _translated(texts: pa.Array) -> pa.Array:
    """As `_without_marks`, byte by byte through a table: right for plain ASCII only."""
    ends, raw = _laid_out(texts)
    moved, translated = pa.py_buffer(ends - ends[0]), pa.py_buffer(np.take(_ASCII, raw))
    made = pa.StringArray.from_buffers(len(texts), moved, translated)
    if _have(made, _DROPPED):
        made = pc.replace_substring(made, _DROPPED, "")
    return pc.if_else(pc.is_valid(texts), made, pa.scalar(None, pa.string())) if texts.null_count else made


def _have(texts: pa.Array, part: str) -> bool:
    """Whether the part is anywhere in the texts: all bytes are looked through at once, which costs little."""
    return texts.null_count < len(texts) and re.search(re.escape(part.encode()), _laid_out(texts)[1].data) is not None


def _laid_out(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Where each text begins and the last one ends, and the bytes of all of them one after another."""
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int32, len(texts) + 1, texts.offset * 4)
    raw = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]] if data is not None else np.zeros(0, np.uint8)
    return ends, raw


def _offsets(split: pa.ListArray) -> pa.Array:
    """Offsets from zero: a sliced batch starts elsewhere, while `values` is the whole buffer."""
    return pa.array(np.asarray(split.offsets, dtype=np.int32))


def _words(words: pa.Array, kind: str) -> pa.Array:
    """The words without accents, usual ones in their usual form; nothing in the place of a legal form."""
    accented = pc.invert(pc.string_is_ascii(words))
    if pc.any(accented).as_py():
        plain = pa.array([_without_accents(word) for word in words.filter(accented).to_pylist()], pa.string())
        words = pc.replace_with_mask(words, accented, plain)
    written, meant = _WRITTEN_AND_MEANT[kind]
    found = pc.index_in(words, written)
    return pc.if_else(pc.is_valid(found), pc.take(meant, found), words)


def _without_accents(word: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c)).casefold()
