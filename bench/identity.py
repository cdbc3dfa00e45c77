"""Identity against labelled hospitals: `python -m bench.identity --data DIR [--write]`.

Fits with whole states held out (ten folds, nested), scores firm by firm, and writes docs/identity-figures.md and the
shipped model with --write. A firm is right only if every record it is bound to is right; firms that nobody can judge
compete for records, but are not counted.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import duplicates
from bench import identity_splink as splink
from bench.labelled import Firm, Key, Truth, labelled_folder, load_truth, load_world
from bench.shares import share
from jobs.engines import PolarsEngine
from jobs.identity_file import as_yaml
from jobs.identity_fit import Fitted, Study, fit, one_to_one
from mappings.load import load
from mappings.policy import Mappings
from sync.engine import Engine
from sync.identity.board import score_among_rivals
from sync.identity.contest import GONE, show
from sync.identity.keys import link as link_by_keys
from sync.identity.sticky import Party
from sync.world import World

ROOT = Path(__file__).parent.parent
VERSION = "hospitals-1"
FITTED_ON = (
    "real hospitals, post-acute facilities and systems of 42 states and territories: names, addresses, phones and CCNs "
    "as CMS, HIFLD and NPPES publish them (public domain); labels by CCN"
)
GROUPS: Mapping[str, Callable[[Firm], bool]] = {
    "facilities": lambda firm: firm.is_facility,
    "no identifier path": lambda firm: firm.is_facility and not firm.has_identifier_path,
    "hard": lambda firm: firm.is_facility and firm.is_hard,
    "systems": lambda firm: not firm.is_facility,
}


@dataclass(frozen=True, slots=True)
class Tally:
    """Firms of one group."""

    bound: int
    right: int
    possible: int

    @property
    def text(self) -> str:
        """Precision and recall with their 95 % intervals."""
        return f"{share(self.right, self.bound)} | {share(self.right, self.possible)}"


def label_of(truth: Truth) -> Callable[[Party, Party], bool | None]:
    """Whether two parties are one, by the truth."""

    def label(left: Party, right: Party) -> bool | None:
        if left in truth.entity and right in truth.entity:
            mine, theirs = truth.entity[left], truth.entity[right]
            return mine == theirs if mine and theirs else None
        firm = truth.firms.get(left[1])
        return None if firm is None or firm.verdict == "unknown" else right in firm.records

    return label


@dataclass(frozen=True, slots=True)
class Keyed:
    """What keys alone bring together; the same whatever the model says."""

    accounts: Mapping[str, list[Key]]
    account_of: Mapping[Key, str]


def by_keys(world: World, mappings: Mappings, engine: Engine) -> Keyed:
    """The accounts that keys make."""
    accounts: dict[str, list[Key]] = defaultdict(list)
    account_of: dict[Key, str] = {}
    for row in engine.rows(link_by_keys(world, mappings.policies.identity, engine)):
        key = (row["source"], row["source_id"])
        accounts[row["account_id"]].append(key)
        account_of[key] = row["account_id"]
    return Keyed(accounts=accounts, account_of=account_of)


def bonds(keyed: Keyed, study: Study, auto: int) -> dict[str, dict[Key, str]]:
    """Firm -> the records it is bound to, and how: by keys, or by held-out scores from `auto` on."""
    made: dict[str, dict[Key, str]] = {}
    for members in keyed.accounts.values():
        records = [key for key in members if key[0] != "definitive"]
        made |= {key[1]: dict.fromkeys(records, "key") for key in members if key[0] == "definitive"}
    for at in one_to_one(study, auto).tolist():
        firm, record = (study.board.keys[side[at]] for side in (study.board.left, study.board.right))
        how = f"model {study.final[at] / 1000:.2f}"
        guests = [key for key in keyed.accounts[keyed.account_of[record]] if key[0] != "definitive"]
        if not any((one, guest) in study.apart for one in made[firm[1]] for guest in guests):
            made[firm[1]] |= dict.fromkeys(guests, how)
    return made


def tally(bound: Mapping[str, Mapping[Key, str]], truth: Truth, wanted: Callable[[Firm], bool]) -> Tally:
    """Firms of a group: bound, rightly bound, and those that have a record."""
    firms = [truth.firms[one] for one in bound if one in truth.firms and truth.firms[one].verdict != "unknown"]
    firms = [firm for firm in firms if wanted(firm)]
    held = [firm for firm in firms if bound[firm.firm_id]]
    right = sum(set(bound[firm.firm_id]) <= firm.records for firm in held)
    return Tally(bound=len(held), right=right, possible=sum(firm.verdict == "match" for firm in firms))


def forbidden(bound: Mapping[str, Mapping[Key, str]], truth: Truth) -> list[tuple[str, Key]]:
    """Bonds that must never be made."""
    return [(firm, key) for firm, key in sorted(truth.forbidden) if key in bound.get(firm, {})]


def unlike(bound: Mapping[str, Mapping[Key, str]], truth: Truth) -> Tally:
    """Bound firms whose best record has another name (token-sort below 75)."""
    return tally(bound, truth, lambda firm: firm.name_similarity is not None and firm.name_similarity < 75)


def report(world: World, fitted: Fitted, truth: Truth, mappings: Mappings, engine: Engine) -> Iterator[str]:
    """The page of figures, line by line."""
    model, keyed = fitted.model, by_keys(world, mappings, engine)
    bound = bonds(keyed, fitted.firms, model.auto)
    yield "# Identity: figures"
    yield ""
    yield "Written by `python -m bench.identity --data DIR --write`; the method is in [identity.md](identity.md). Whole"
    yield f"states were held out (ten folds, nested); {model.decisions:,} labelled pairs. Brackets are 95 % intervals."
    yield ""
    yield f"At the shipped threshold ({model.auto} thousandths of a logit):"
    yield ""
    yield "| firms | precision | recall |"
    yield "|---|---|---|"
    for name, wanted in GROUPS.items():
        yield f"| {name} | {tally(bound, truth, wanted).text} |"
    yield f"| linked, unlike names | {unlike(bound, truth).text.split(' | ')[0]} | |"
    yield ""
    yield f"Bonds that must never be made: {len(forbidden(bound, truth))} of {len(truth.forbidden)}."
    yield ""
    yield "## Curve"
    yield ""
    yield "| threshold | firms | precision | recall |"
    yield "|---|---|---|---|"
    for auto in range(500, 4001, 500):
        yield from _rows(auto, bonds(keyed, fitted.firms, auto), truth)
    yield ""
    yield "## Review band"
    yield ""
    yield from _review(fitted, bound, truth)
    yield ""
    yield "## Duplicates among CRM records"
    yield ""
    yield f"As the report lists them, the model from {model.duplicate} thousandths of a logit on. The reported pairs of"
    yield "which nobody knows what they are do not count."
    yield ""
    yield from duplicates.lines(duplicates.find(world, fitted, bound, mappings, engine), truth, names_of(world, engine))
    yield ""
    yield "## Beside Splink"
    yield ""
    yield from beside_splink(keyed, fitted, truth, engine)
    yield ""
    yield "## Every wrong link"
    yield ""
    yield from _wrong(fitted.firms, bound, truth)


def beside_splink(keyed: Keyed, fitted: Fitted, truth: Truth, engine: Engine) -> Iterator[str]:
    """The peer on the same pairs, after the same keys and guards, one to one as ours."""
    peer = splink.measure(fitted.firms)
    if peer is None:
        yield splink.HOW_TO_GET_IT + "."
        return
    yield f"Splink {peer.version} scores the {len(fitted.firms.labels):,} pairs that our model scores, after the same"
    yield "keys and guards, and is matched one to one in the same way. It learns without labels (EM): Jaro-Winkler on"
    yield "name and core name with term frequencies, street, ZIP code with distance, city, phone and domain with term"
    yield f"frequencies, kind, CCN, NPI. It took {peer.seconds:.1f} s of processors and {peer.peak_mib:,.0f} MiB in a"
    yield f"process of its own; ours scores them in {_own_seconds(fitted, engine):.1f} s of processors."
    yield ""
    yield "| threshold | firms | precision | recall |"
    yield "|---|---|---|---|"
    for auto in range(4_000, 24_001, 4_000):
        yield from _rows(auto, bonds(keyed, peer.study, auto), truth)
    yield ""
    yield "| the best recall | ours | Splink |"
    yield "|---|---|---|"
    for name, precision in (("facilities", 0.997), ("no identifier path", 0.995)):
        ours, theirs = (_best_recall(keyed, study, truth, name, precision) for study in (fitted.firms, peer.study))
        yield f"| {name}, precision at least {precision:.3f} | {ours:.4f} | {theirs:.4f} |"


def _own_seconds(fitted: Fitted, engine: Engine) -> float:
    """Processor seconds that both stages of our model take for the same pairs."""
    started = time.process_time()
    score_among_rivals(fitted.firms.board, fitted.model, engine)
    return time.process_time() - started


def _rows(auto: int, bound: Mapping[str, Mapping[Key, str]], truth: Truth) -> Iterator[str]:
    for name in ("facilities", "no identifier path", "hard"):
        yield f"| {auto} | {name} | {tally(bound, truth, GROUPS[name]).text} |"


def _best_recall(keyed: Keyed, study: Study, truth: Truth, group: str, precision: float) -> float:
    """The best recall of a group at any threshold at which it is right as often as asked."""
    best = 0.0
    for auto in range(0, 30_001, 500):
        found = tally(bonds(keyed, study, auto), truth, GROUPS[group])
        if found.bound and found.right >= precision * found.bound:
            best = max(best, found.right / found.possible)
    return best


def names_of(world: World, engine: Engine) -> dict[Key, str]:
    """What the CRM records are called."""
    rows = engine.rows(world.records.select("connection", "record_id", "name"))
    return {(row["connection"], row["record_id"]): row["name"] or "" for row in rows}


def _review(fitted: Fitted, bound: Mapping[str, Mapping[Key, str]], truth: Truth) -> Iterator[str]:
    """How many rows wait for a person, and what recall they would lift to."""
    study, board = fitted.firms, fitted.firms.board
    features = board.features(np.arange(len(study.final)))
    equal = (features["ccn_equal"] > 0) | (features["npi_equal"] > 0)
    gone = {key for held in bound.values() for key in held}
    sources = {
        cluster: frozenset(
            {"definitive", *(one for one, _ in bound[key[1]])}
            if key[0] == "definitive"
            else {GONE}
            if key in gone
            else {}
        )
        for key, cluster in zip(board.keys, board.clusters, strict=True)
    }
    shown: dict[str, set[Key]] = defaultdict(set)
    for at in show(board, study.final, study.first, equal, fitted.model.review, sources).tolist():
        shown[board.keys[board.left[at]][1]].add(board.keys[board.right[at]])
    facilities = [firm for firm in truth.firms.values() if firm.is_facility and firm.verdict == "match"]
    facilities = [firm for firm in facilities if firm.firm_id in bound]
    found = sum(bool(firm.records & (set(bound[firm.firm_id]) | shown.get(firm.firm_id, set()))) for firm in facilities)
    rows = sum(bool(records) for records in shown.values())
    yield f"{rows:,} of {len(bound):,} rows ({rows / len(bound):.1%}) wait for a person; with them recall is at most"
    yield f"{share(found, len(facilities))}."


def _wrong(study: Study, bound: Mapping[str, Mapping[Key, str]], truth: Truth) -> Iterator[str]:
    names = dict(zip(study.board.keys, study.board.names, strict=True))
    for firm_id in sorted(bound):
        firm = truth.firms.get(firm_id)
        if firm is None or firm.verdict == "unknown" or not bound[firm_id]:
            continue
        for key, how in sorted(bound[firm_id].items()):
            if key not in firm.records:
                name = names.get(("definitive", firm_id), "")
                yield f"- {firm_id} {name} / {key[0]} {key[1]} {names.get(key, '')}: linked by {how}; {_why(firm)}"


def _why(firm: Firm) -> str:
    if firm.verdict == "none":
        return "the firm has no record in either CRM: a neighbour, a sister or a unit stands in its place"
    return "the firm has another record: this is a unit or a sister of it"


def main() -> None:
    """Fit, score, print; with --write also keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=labelled_folder, required=True, help="folder of the labelled hospitals")
    parser.add_argument("--write", action="store_true", help="keep the page in docs/ and the model in mappings/")
    asked = parser.parse_args()
    engine, mappings = PolarsEngine(), load()
    world, truth = load_world(asked.data, mappings), load_truth(asked.data)
    policy = mappings.policies.identity
    started, processor = time.perf_counter(), time.process_time()
    fitted = fit(world, policy, mappings.places, label_of(truth), engine, version=VERSION, fitted_on=FITTED_ON)
    taken, busy = time.perf_counter() - started, time.process_time() - processor
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    lines = [*report(world, fitted, truth, mappings, engine), ""]
    lines += [f"Fitted and cross-validated in {taken:.0f} s ({busy:.0f} s of processors), {peak:.0f} MiB at most.", ""]
    print("\n".join(lines))
    if asked.write:
        (ROOT / "docs/identity-figures.md").write_text("\n".join(lines), encoding="utf-8")
        shipped = policy.model_copy(update={"model": fitted.model})
        (ROOT / "mappings/policies/identity.yaml").write_text(as_yaml(shipped), encoding="utf-8")


if __name__ == "__main__":
    main()
