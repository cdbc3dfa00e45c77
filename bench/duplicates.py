"""Duplicates against the labelled hospitals: both kinds apart, whole states held out, every miss with what is known."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from bench.labelled import Key, Truth
from bench.shares import share
from jobs.identity_fit import Fitted, Study
from mappings.policy import Mappings
from sync.engine import Engine
from sync.identity.duplicates import same_system
from sync.identity.keys import link as link_by_keys
from sync.world import World

Pair = tuple[Key, Key]
Bonds = Mapping[str, Mapping[Key, str]]
KINDS = {"in both CRMs": False, "inside one CRM": True}


@dataclass(frozen=True, slots=True)
class Found:
    """Pairs that would be reported, and what is known of every pair that was compared."""

    pairs: Mapping[Pair, str]  # pair -> what says so
    study: Study
    place: Mapping[Pair, int]  # pair -> its position on the board

    def told(self, pair: Pair) -> str:
        """What was known of a pair, in words."""
        if pair not in self.place:
            return "never compared: they share no block"
        at = self.place[pair]
        features = {name: int(values[0]) for name, values in self.study.board.features(np.array([at])).items()}
        said = [f"score {self.study.final[at] / 1000:.2f}", f"names alike to {features['name_sort'] / 10:.0f} of 100"]
        said.append("same address" if features["address_equal"] else "no common address")
        said.append("same phone" if features["phone_equal"] else "no common phone")
        if self.study.doubts[at]:
            said.append("a number says that they are unlike kinds")
        return ", ".join(said)


def find(world: World, fitted: Fitted, bound: Bonds, mappings: Mappings, engine: Engine) -> Found:
    """What the report would list, with every score from a model that saw none of the states."""
    accounts: dict[str, list[Key]] = defaultdict(list)
    for row in engine.rows(link_by_keys(world, mappings.policies.identity, engine)):
        accounts[row["account_id"]].append((row["source"], row["source_id"]))
    pairs: dict[Pair, str] = {}
    for members in (*accounts.values(), *map(list, bound.values())):
        pairs |= dict.fromkeys(combinations(sorted(key for key in members if key[0] != "definitive"), 2), "linked")
    pairs |= {(one.record, one.other): "system" for one in same_system(world, engine)}
    study, board = fitted.records, fitted.records.board
    place = {
        _pair(board.keys[i], board.keys[j]): at for at, (i, j) in enumerate(zip(board.left, board.right, strict=True))
    }
    sure = (study.final >= fitted.model.duplicate) & (study.doubts == 0)
    pairs |= {pair: "model" for pair, at in place.items() if sure[at] and pair not in pairs}
    return Found(pairs=pairs, study=study, place=place)


def lines(found: Found, truth: Truth, names: Mapping[Key, str]) -> Iterator[str]:
    """The section of the page of figures."""
    judged = {pair for pair in found.pairs if all(truth.entity.get(key) for key in pair)}
    yield "| records of one organisation | precision | recall |"
    yield "|---|---|---|"
    for kind, inside in KINDS.items():
        said, same = _of(judged, inside), _of(truth.duplicates, inside)
        yield f"| {kind} | {share(len(said & same), len(said))} | {share(len(said & same), len(same))} |"
    right = judged & truth.duplicates
    yield f"| together | {share(len(right), len(judged))} | {share(len(right), len(truth.duplicates))} |"
    yield ""
    yield "Missed:"
    yield ""
    for pair in sorted(truth.duplicates - judged):
        yield f"- {_shown(pair, names)}: {found.told(pair)}"
    yield ""
    yield "Wrong:"
    yield ""
    for pair in sorted(judged - truth.duplicates):
        yield f"- {_shown(pair, names)}: by {found.pairs[pair]}; {found.told(pair)}"


def _of(pairs: set[Pair] | frozenset[Pair], inside: bool) -> set[Pair]:
    return {pair for pair in pairs if (pair[0][0] == pair[1][0]) is inside}


def _pair(one: Key, other: Key) -> Pair:
    return (one, other) if one < other else (other, one)


def _shown(pair: Pair, names: Mapping[Key, str]) -> str:
    return " / ".join(f"{key[0]} {key[1]} {names.get(key, '')}".rstrip() for key in pair)
