"""Identity with an object per row: a party for every firm and record, a cluster for every organisation."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

from pydantic import BaseModel, ConfigDict
from rapidfuzz import fuzz

from bench.peers.rules import KEYS, KIND_WORDS, LEGAL, SAME, SIMILAR, SPECIALTY_WORDS, STREET_WORDS, WORDS, first_word

FIRM, SALESFORCE, HUBSPOT = "definitive", "salesforce", "hubspot"
_ORDER = {SALESFORCE: 0, HUBSPOT: 1}
_NPI = re.compile(r"[12]\d{9}")


class Row(BaseModel):
    """A firm or a record; columns that only one of them has are extra."""

    model_config = ConfigDict(extra="allow")

    name: str | None = None
    street: str | None = None
    city: str | None = None
    state: str | None = None
    zip5: str | None = None
    phone: str | None = None
    domain: str | None = None
    ccn: str | None = None
    npi: str | None = None
    definitive_id: str | None = None


@dataclass(slots=True)
class Party:
    """A row with everything a link may rest on."""

    source: str
    source_id: str
    row: Row
    name: str | None = None
    street: str | None = None
    city: str | None = None
    kind: str | None = None
    specialty: str | None = None
    keys: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Link:
    """How a party came to its cluster."""

    party: Party
    how: str = "own"
    evidence: str | None = None


@dataclass(slots=True)
class Cluster:
    """One organisation."""

    links: list[Link]

    def account_id(self) -> str:
        """Called after its first CRM record, and after a firm only where it has none."""
        parties = [link.party for link in self.links]
        first = min(parties, key=lambda party: (_ORDER.get(party.source, 2), party.source_id))
        return hashlib.sha256(f"{first.source}|{first.source_id}".encode()).hexdigest()[:16]


def words(text: str | None, meanings: Mapping[str, str] = WORDS) -> str | None:
    """A text without case, accents, punctuation and legal form, usual words in their usual form."""
    if not text:
        return None
    if not text.isascii():
        text = "".join(ch for ch in unicodedata.normalize("NFKD", text) if not unicodedata.combining(ch))
    bare = re.sub("['’‘`´.]", "", text.replace("&", " and "))
    found = re.findall("[a-z0-9]+", bare.lower())
    return " ".join(meanings.get(word, word) for word in found if word not in LEGAL) or None


def party(source: str, source_id: str, row: Row, type_: str | None) -> Party:
    """A party with its keys."""
    made = Party(
        source=source,
        source_id=source_id,
        row=row,
        name=words(row.name),
        street=words(row.street, STREET_WORDS),
        city=words(row.city),
        kind=_kind(type_),
        specialty=_specialty(type_),
    )
    found = {
        "definitive_id": row.definitive_id,
        "npi": row.npi if row.npi and _NPI.fullmatch(row.npi) else None,
        "ccn": row.ccn,
        "name_phone": f"{made.name}|{row.phone}" if made.name and row.phone else None,
        "system_place": _system_place(made),
        "domain": row.domain,
        "name_zip": f"{made.name}|{row.zip5}" if made.name and row.zip5 else _with_city(made),
    }
    made.keys = {key: value for key, value in found.items() if value}
    return made


@cache
def _kind(type_: str | None) -> str | None:
    return first_word(type_, KIND_WORDS)


@cache
def _specialty(type_: str | None) -> str | None:
    return first_word(type_, SPECIALTY_WORDS)


def _with_city(party: Party) -> str | None:
    parts = (party.name, party.city, party.row.state)
    return "|".join(part for part in parts if part) if all(parts) else None


def _system_place(party: Party) -> str | None:
    bare = party.kind is None and party.row.street is None and party.row.zip5 is None
    return _with_city(party) if party.kind == "system" or bare else None


def link(parties: Iterable[Party]) -> list[Cluster]:
    """Clusters: firms first, then the records of each CRM join what a key that only they share points to."""
    by_source: dict[str, list[Party]] = defaultdict(list)
    for one in parties:
        by_source[one.source].append(one)
    clusters = [Cluster([Link(one)]) for one in by_source[FIRM]]
    for source in (SALESFORCE, HUBSPOT):
        clusters += _joined(by_source[source], clusters)
    return clusters


def _joined(incoming: list[Party], clusters: list[Cluster]) -> list[Cluster]:
    """The parties of one source that start clusters of their own; the others were added to theirs."""
    held: dict[tuple[str, str], list[tuple[int, Party]]] = defaultdict(list)
    for number, cluster in enumerate(clusters):
        for member in cluster.links:
            for item in member.party.keys.items():
                held[item].append((number, member.party))
    holders = Counter(item for one in incoming for item in one.keys.items())
    wanted = [_best(one, held, holders) for one in incoming]
    order = sorted(
        (priority, -similarity, number, at)
        for at, found in enumerate(wanted)
        if found
        for priority, similarity, number, _ in found
    )
    taken: set[int] = set()
    chosen: dict[int, tuple[int, str, str]] = {}
    for priority, _, number, at in order:
        if number not in taken and at not in chosen:
            taken.add(number)
            agrees = next(words for p, _, n, words in wanted[at] if (p, n) == (priority, number))
            chosen[at] = (number, KEYS[priority], agrees)
    alone = []
    for at, one in enumerate(incoming):
        if at not in chosen:
            alone.append(Cluster([Link(one)]))
            continue
        number, key, agrees = chosen[at]
        evidence = f'{{"key":"{key}","value":"{one.keys[key]}","agrees":"{agrees}"}}'
        clusters[number].links.append(Link(one, key, evidence))
    return alone


def _best(
    one: Party, held: Mapping[tuple[str, str], list[tuple[int, Party]]], holders: Counter[tuple[str, str]]
) -> list[tuple[int, int, int, str]]:
    """Priority, similarity, cluster and what agrees, for each key that fits one cluster."""
    found = []
    for priority, key in enumerate(KEYS):
        item = (key, one.keys.get(key, ""))
        members = held.get(item, ())
        if holders[item] != 1 or not members or any(number != members[0][0] for number, _ in members):
            continue
        agreed = [_agree(one, other, key) for _, other in members]
        enough = [told for told in agreed if told is not None]
        if enough:
            similarity, agrees = max(s for s, _ in enough), max(a for _, a in enough)
            found.append((priority, similarity, members[0][0], agrees))
    return found


def _agree(one: Party, other: Party, key: str) -> tuple[int, str] | None:
    """Likeness of the names and what agrees besides the key; None where that is not enough."""
    mine, theirs = one.row, other.row
    if _differ(mine.state, theirs.state) or _differ(one.kind, other.kind):
        return None
    likeness = 100 if one.name == other.name else int(fuzz.token_set_ratio(one.name or "", other.name or ""))
    agreed = list(_agreements(one, other, likeness))
    unlike = (_differ(mine.ccn, theirs.ccn) and _differ(mine.npi, theirs.npi)) or _differ(
        one.specialty, other.specialty
    )
    bare = not (one.street and other.street) and not (mine.phone and theirs.phone)
    here = _same(one.city, other.city) or _same(mine.zip5, theirs.zip5)
    if key in ("name_zip", "system_place"):
        sure = "phone" in agreed or _same(mine.npi, theirs.npi)
        enough = (key == "system_place" or bare) and (sure or not unlike)
    elif key == "name_phone":
        enough = here and not unlike
    elif key == "domain":
        near = "street" in agreed or "phone" in agreed or likeness >= SAME
        enough = bare and likeness >= SIMILAR and here and near and not unlike
    else:
        enough = bool(agreed)
    return (likeness, ",".join(agreed)) if enough else None


def _agreements(one: Party, other: Party, likeness: int) -> Iterator[str]:
    mine, theirs = one.row, other.row
    if likeness >= SIMILAR:
        yield "name"
    if _same(one.street, other.street):
        yield "street"
    if _same(mine.phone, theirs.phone):
        yield "phone"
    if _same(mine.domain, theirs.domain):
        yield "domain"
    if _same(mine.npi, theirs.npi) and _same(mine.ccn, theirs.ccn):
        yield "second number"


def _same(a: str | None, b: str | None) -> bool:
    return a is not None and a == b


def _differ(a: str | None, b: str | None) -> bool:
    return a is not None and b is not None and a != b
