"""Makes up the confirmed facts of the demo. Every value is invented; only the states of the hospitals are real.

A profile says what the sales team pretends to know of a health system. Dealt to the systems in the order of their ids,
the profiles make every tier, every reason for a provisional tier, and tiers that change between the two days.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sandbox.data.tables import Row

COLUMNS = ("Definitive ID", "Fact", "Category", "Value", "Valid From", "Valid To", "Confirmed By")
CATEGORY = "infusion_pumps"
ALWAYS, START = "", "2019-01-01"
GPOS = (
    "Meridian Supply Alliance",
    "Unity Contract Network",
    "NorthBridge Group Purchasing",
    "Keystone Purchasing Partners",
)

Contract = tuple[str, str, str]  # GPO name or "none", valid from, valid to


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What is known of a system; None or empty = nobody has confirmed it."""

    strength: str | None
    commercial: float | None  # percent of revenue
    contracts: tuple[Contract, ...]
    site_share_known: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """A health system of the feed, with what decides which profile suits it."""

    firm_id: str
    hospitals: int
    non_con_share: float  # percent of its hospitals outside certificate-of-need states


NONE: tuple[Contract, ...] = (("none", START, ALWAYS),)
COVERED: tuple[Contract, ...] = (("gpo", START, ALWAYS),)
STARTS: tuple[Contract, ...] = (("none", START, "2021-07-01"), ("gpo", "2021-07-01", ALWAYS))
ENDS: tuple[Contract, ...] = (("gpo", START, "2022-03-01"), ("none", "2022-03-01", ALWAYS))

OUTSIDE_CON: tuple[Profile, ...] = (
    Profile(strength="STRONG", commercial=58.5, contracts=NONE),
    Profile(strength="STRONG", commercial=54.0, contracts=STARTS),  # first tier on day 1 only
    Profile(strength="STRONG", commercial=61.0, contracts=()),
    Profile(strength="MODERATE", commercial=52.0, contracts=NONE),
    Profile(strength="STRONG", commercial=50.0, contracts=NONE),  # exactly on the limit
    Profile(strength="STRONG", commercial=66.0, contracts=ENDS),  # first tier on day 2 only
    Profile(strength="STRONG", commercial=None, contracts=NONE),
    Profile(strength="WEAK", commercial=37.5, contracts=NONE),
    Profile(strength="STRONG", commercial=57.0, contracts=COVERED),
    Profile(strength=None, commercial=63.0, contracts=NONE),
    Profile(strength="STRONG", commercial=71.5, contracts=NONE, site_share_known=False),
)
INSIDE_CON: tuple[Profile, ...] = (
    Profile(strength="STRONG", commercial=59.0, contracts=NONE),
    Profile(strength="WEAK", commercial=55.5, contracts=COVERED),
    Profile(strength="WEAK", commercial=31.0, contracts=COVERED),
    Profile(strength="STRONG", commercial=None, contracts=()),
    Profile(strength="MODERATE", commercial=53.0, contracts=STARTS),
    Profile(strength="MODERATE", commercial=49.9, contracts=ENDS),  # just under the limit
)
HOSPITAL: tuple[Profile, ...] = (
    Profile(strength="MODERATE", commercial=56.0, contracts=NONE),
    Profile(strength="STRONG", commercial=44.0, contracts=COVERED),
    Profile(strength=None, commercial=51.0, contracts=()),
)


def make_facts(systems: Sequence[System], hospitals: Sequence[str], confirmers: Sequence[str]) -> list[Row]:
    """Facts of the systems and of some single hospitals, sorted by firm and fact."""
    rows: list[Row] = []
    dealt = {True: 0, False: 0}
    for index, system in enumerate(sorted(systems, key=lambda s: s.firm_id)):
        outside = system.non_con_share >= 50
        deck = OUTSIDE_CON if outside else INSIDE_CON
        profile = deck[dealt[outside] % len(deck)]
        dealt[outside] += 1
        confirmer = confirmers[index % len(confirmers)]
        rows += _stamp(system.firm_id, confirmer, _system_facts(system, profile, index))
    for index, firm_id in enumerate(sorted(hospitals)):
        confirmer = confirmers[index % len(confirmers)]
        rows += _stamp(firm_id, confirmer, _profile_facts(HOSPITAL[index % len(HOSPITAL)], index))
    return sorted(rows, key=lambda row: tuple(row[column] for column in COLUMNS))


def _stamp(firm_id: str, confirmer: str, facts: Iterable[Mapping[str, str]]) -> Iterator[Row]:
    for fact in facts:
        yield {
            "Valid From": START,
            "Valid To": ALWAYS,
            "Category": "",
            **fact,
            "Definitive ID": firm_id,
            "Confirmed By": confirmer,
        }


def _system_facts(system: System, profile: Profile, index: int) -> Iterator[Row]:
    centralized = _centralized(system.hospitals, index)
    if centralized:
        yield {"Fact": "procurement_centralized", "Value": centralized}
    if profile.site_share_known:
        yield {"Fact": "non_con_share", "Category": "oncology", "Value": f"{system.non_con_share:.1f}"}
    yield from _profile_facts(profile, index)


def _centralized(hospitals: int, index: int) -> str:
    """Large systems need no confirmation; of the small ones most buy centrally, some do not, some are unknown."""
    if hospitals >= 6:
        return "true" if index % 2 else ""
    return ("true", "true", "true", "false", "true", "")[index % 6]


def _profile_facts(profile: Profile, index: int) -> Iterator[Row]:
    if profile.commercial is not None:
        yield {"Fact": "commercial_share", "Value": f"{profile.commercial:.1f}"}
    if profile.strength:
        yield from _oncology(profile.strength, index)
    for gpo, since, until in profile.contracts:
        name = GPOS[index % len(GPOS)] if gpo == "gpo" else gpo
        yield {"Fact": "gpo_contract", "Category": CATEGORY, "Value": name, "Valid From": since, "Valid To": until}
    if index % 7 == 3:  # a contract in another category covers nothing we sell
        name = GPOS[(index + 1) % len(GPOS)]
        yield {"Fact": "gpo_contract", "Category": "surgical_robotics", "Value": name}


def _oncology(strength: str, index: int) -> Iterator[Row]:
    """Strength, with yearly cases and growth in percent that agree with it."""
    base = {"STRONG": 4200, "MODERATE": 1700, "WEAK": 300}[strength]
    growth = {"STRONG": 6.5, "MODERATE": 1.5, "WEAK": -7.0}[strength] + index % 5 * 0.5
    yield {"Fact": "oncology_strength", "Category": "oncology", "Value": strength}
    yield {"Fact": "oncology_volume", "Category": "oncology", "Value": str(base + index % 9 * 85)}
    yield {"Fact": "oncology_growth", "Category": "oncology", "Value": f"{growth:.1f}"}
