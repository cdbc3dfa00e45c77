"""Schema of `regulation.yaml`: what the law of each state asks, by date, and what of it holds on a day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from mappings.schema import Strict

FACILITIES: tuple[str, ...] = ("HOSPITAL", "ASC", "POST_ACUTE")
UNKNOWN = "unknown"


class Dated(Strict):
    """A fact of one state with its days and its source."""

    state: str
    valid_from: str  # ISO date, the first day; empty = before any date a plan is made for
    valid_to: str = ""  # ISO date, the first day it no longer holds; empty = still so
    citation: str


class Regulation(Dated):
    """Certificate of need: the program of a state, or what it asks of some facilities or categories."""

    con: Literal["CON", "none", "quasi", "unknown"]
    facilities: tuple[Literal["HOSPITAL", "ASC", "POST_ACUTE"], ...] = ()  # empty = the program as such
    categories: tuple[str, ...] = ()  # purchasing categories, such as mri; empty = the program as such


class Expansion(Dated):
    """Whether adults up to 138 % of the poverty level have Medicaid, from the first day of coverage."""

    expanded: Literal["adopted", "not_adopted", "unknown"]


class Practice(Dated):
    """How far nurse practitioners work by themselves."""

    practice: Literal["full", "reduced", "restricted", "unknown"]


class RegulationFile(Strict):
    """`regulation.yaml`."""

    checked_on: str = ""  # ISO date somebody last compared the certificate-of-need list with the law
    checked: dict[Literal["medicaid_expansion", "nurse_practice"], str] = Field(default_factory=dict)  # the other lists
    by_facility: bool = False  # true = what the law asks of the kind of facility; false = the state's program as such
    states: tuple[Regulation, ...]
    medicaid_expansion: tuple[Expansion, ...] = ()
    nurse_practice: tuple[Practice, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """The three lists, ready to be asked for a day."""

    con: tuple[Regulation, ...] = ()
    expansion: tuple[Expansion, ...] = ()
    practice: tuple[Practice, ...] = ()
    by_facility: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StateLaw:
    """What holds in one state on a day."""

    state: str
    con: dict[str, str] = field(default_factory=dict)  # facility -> CON, none, quasi, unknown
    expansion: str = UNKNOWN
    practice: str = UNKNOWN


def law_on(law: Law, as_of: str, category: str = "") -> tuple[StateLaw, ...]:
    """The law of every state that is listed, on an ISO date, for a purchasing category; sorted by state."""
    con, expansion, practice = (list(_in_force(part, as_of)) for part in (law.con, law.expansion, law.practice))
    expanded = {fact.state: fact.expanded for fact in expansion if isinstance(fact, Expansion)}
    practised = {fact.state: fact.practice for fact in practice if isinstance(fact, Practice)}
    ruled = [fact for fact in con if isinstance(fact, Regulation)]
    states = sorted({fact.state for fact in (*ruled, *expansion, *practice)})
    return tuple(
        StateLaw(
            state=state,
            con={kind: _con([f for f in ruled if f.state == state], kind, category, law) for kind in FACILITIES},
            expansion=expanded.get(state, UNKNOWN),
            practice=practised.get(state, UNKNOWN),
        )
        for state in states
    )


def _in_force(facts: Iterable[Dated], as_of: str) -> Iterator[Dated]:
    for fact in facts:
        if (not fact.valid_from or fact.valid_from <= as_of) and (not fact.valid_to or as_of < fact.valid_to):
            yield fact


def _con(facts: Iterable[Regulation], facility: str, category: str, law: Law) -> str:
    """The most specific fact that fits: about the category, then about the facility, then the program."""
    fitting: list[tuple[int, str]] = []
    for fact in facts:
        of_category, of_facility = category in fact.categories, facility in fact.facilities
        fits = (of_category or not fact.categories) and (of_facility or not fact.facilities)
        if fits and (law.by_facility or not fact.facilities or of_category):
            fitting.append((2 * of_category + of_facility, fact.con))
    return max(fitting, default=(0, UNKNOWN))[1]
