"""Fits the identity model on labelled pairs: logistic models in whole numbers, cross-validated with states held out.

Needs scikit-learn (`platbook[fit]`). Scoring never does: what is fitted is written into `policies/identity.yaml`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mappings.evidence import PAIR_FEATURES, RECORD_FEATURES, SECOND_FEATURES
from mappings.identity_policy import IdentityPolicy, MatchModel, Weights
from sync.engine import Engine
from sync.identity.board import FLOOR, Board, rival_scores
from sync.identity.companions import UNLIKE
from sync.identity.contest import Contest, doubts
from sync.identity.duplicates import clashing, record_board
from sync.identity.features import Columns, competition
from sync.identity.keys import link_by_keys
from sync.identity.model import matrix, score
from sync.identity.parties import make_parties
from sync.identity.sticky import Decided, Party
from sync.identity.traits import Places, word_weights
from sync.world import CROSSWALK, World

LEAST_DECISIONS = 200
"""Fewest decisions of either kind (same, not the same) a model is fitted on."""

LEAST_GROUPS = 5
"""Fewest states that must hold decisions of the kind 'same': with fewer, nothing can be held out."""

LARGEST_BLOCK = 400
FIRST_STRENGTH, SECOND_STRENGTH, RECORD_STRENGTH = (
    1.0,
    0.1,
    0.2,
)  # inverse of the L2 penalty, chosen by cross-validation
FOLDS, INNER_FOLDS = 10, 5
AUTO_PRECISION, DUPLICATE_PRECISION = 0.9925, 0.99  # of the model's own links, cross-validated
_STEP = 50  # thousandths of a logit between thresholds that are tried

Label = Callable[[Party, Party], bool | None]
"""Whether two parties are one organisation; None = nobody knows."""


class TooFewDecisions(ValueError):
    """There is not enough to learn from; the message says how much is needed."""


class FitUnavailable(RuntimeError):
    """scikit-learn is not installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Labelled pairs laid out, and the cross-validated score of each: what was never seen in fitting."""

    board: Board
    labels: np.ndarray  # 1 same, 0 not the same, -1 unknown
    folds: np.ndarray  # fold per pair; pairs of one state share it
    groups: tuple[str, ...]  # state per pair
    doubts: np.ndarray  # not 0 where a guard keeps the pair from being linked by itself
    apart: frozenset[tuple[Party, Party]]  # records that no firm may bring together, both ways round
    first: np.ndarray  # thousandths of a logit
    final: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """The model, and the study its figures come from."""

    model: MatchModel
    firms: Study
    records: Study


def fit(
    world: World,
    policy: IdentityPolicy,
    places: Places,
    label: Label,
    engine: Engine,
    *,
    version: str,
    fitted_on: str,
) -> Fitted:
    """Fit on a world as it would look without any decision or link from before. Raises TooFewDecisions."""
    bare = replace(world, link_decisions=None, crosswalk=engine.table([], CROSSWALK))
    blank = _blank(bare, version, fitted_on, engine)
    firms = _labelled(_firm_board(bare, policy, places, blank, engine), label)
    records = _labelled(record_board(bare, places, blank, engine), label)
    _check(firms)
    record_study, same_record = _one_stage(*records)
    firm_study, first, second = _two_stages(*firms, unlike_records(record_study))
    auto = lowest_threshold(firm_study, AUTO_PRECISION)
    known = firm_study.labels >= 0
    model = blank.model_copy(
        update={
            "decisions": int(known.sum() + (record_study.labels >= 0).sum()),
            "groups": len(set(firm_study.groups)),
            "figures": _figures(firm_study, auto),
            "auto": auto,
            "review": min(auto, _review_threshold(firm_study, auto)),
            "duplicate": lowest_threshold(record_study, DUPLICATE_PRECISION),
            "first": first,
            "second": second,
            "same_record": same_record,
        }
    )
    return Fitted(model=model, firms=firm_study, records=record_study)


def _blank(world: World, version: str, fitted_on: str, engine: Engine) -> MatchModel:
    """A model that knows the words of this world and nothing else."""
    names = [row["name_key"] for row in engine.rows(make_parties(world, engine).select("name_key")) if row["name_key"]]
    nothing = Weights(intercept=0, coefficients={})
    return MatchModel(
        version=version,
        fitted_on=fitted_on,
        decisions=0,
        groups=0,
        figures={},
        auto=0,
        review=0,
        duplicate=0,
        largest_block=LARGEST_BLOCK,
        first=nothing,
        second=nothing,
        same_record=nothing,
        words=word_weights(names),
    )


def _firm_board(world: World, policy: IdentityPolicy, places: Places, model: MatchModel, engine: Engine) -> Board:
    parties = make_parties(world, engine)
    clusters = link_by_keys(world, parties, policy.keys, engine)
    contest = Contest(
        world=world, parties=parties, places=places, policy=policy, model=model, said=Decided(), engine=engine
    )
    board = contest.firm_board(clusters)
    if board is None:
        raise TooFewDecisions("no pair of a firm and a CRM record is left after the keys; there is nothing to fit")
    return board


def _labelled(board: Board, label: Label) -> tuple[Board, np.ndarray, tuple[str, ...]]:
    said = [label(board.keys[i], board.keys[j]) for i, j in zip(board.left, board.right, strict=True)]
    labels = np.array([-1 if one is None else int(one) for one in said], np.int64)
    states = board.traits.texts["state"]
    return board, labels, tuple(states[i] for i in board.left)


def _check(firms: tuple[Board, np.ndarray, tuple[str, ...]]) -> None:
    _, labels, groups = firms
    same, other = int((labels == 1).sum()), int((labels == 0).sum())
    states = len({group for group, one in zip(groups, labels, strict=True) if one == 1})
    if min(same, other) < LEAST_DECISIONS or states < LEAST_GROUPS:
        raise TooFewDecisions(
            f"{same} pairs are known to be the same organisation and {other} not to be, in {states} states; a model "
            f"needs {LEAST_DECISIONS} of either kind in {LEAST_GROUPS} states. Keep the shipped model and decide more "
            "pairs with `platbook identity review`"
        )


def _two_stages(
    board: Board, labels: np.ndarray, groups: tuple[str, ...], apart: frozenset[tuple[Party, Party]]
) -> tuple[Study, Weights, Weights]:
    features = board.features(np.arange(len(labels)))
    folds = held_out_folds(groups, FOLDS)
    known = labels >= 0
    first = np.zeros(len(labels), np.int64)
    final = np.zeros(len(labels), np.int64)
    for fold in range(FOLDS):
        train, test = folds != fold, folds == fold
        alone = _cross_fitted(features, labels, train, groups)
        alone[test] = score(_at(features, test), _weights(features, labels, train & known, FIRST_STRENGTH))
        among = features | _rivals(board, alone)
        near = train & known & (alone > FLOOR)
        among_weights = _weights(among, labels, near, SECOND_STRENGTH, SECOND_FEATURES)
        first[test] = alone[test]
        final[test] = np.where(alone[test] > FLOOR, score(_at(among, test), among_weights), FLOOR)
    alone = _cross_fitted(features, labels, np.ones(len(labels), bool), groups)
    among = features | _rivals(board, alone)
    doubted = doubts(features)
    study = Study(
        board=board, labels=labels, folds=folds, groups=groups, doubts=doubted, apart=apart, first=first, final=final
    )
    weights = _weights(features, labels, known, FIRST_STRENGTH)
    return study, weights, _weights(among, labels, known & (alone > FLOOR), SECOND_STRENGTH, SECOND_FEATURES)


def _one_stage(board: Board, labels: np.ndarray, groups: tuple[str, ...]) -> tuple[Study, Weights]:
    features = board.features(np.arange(len(labels)))
    folds = held_out_folds(groups, FOLDS)
    known = labels >= 0
    final = np.zeros(len(labels), np.int64)
    for fold in range(FOLDS):
        test = folds == fold
        weights = _weights(features, labels, ~test & known, RECORD_STRENGTH, RECORD_FEATURES)
        final[test] = score(_at(features, test), weights)
    doubted = clashing(features).astype(np.int64)
    study = Study(
        board=board,
        labels=labels,
        folds=folds,
        groups=groups,
        doubts=doubted,
        apart=frozenset(),
        first=final,
        final=final,
    )
    return study, _weights(features, labels, known, RECORD_STRENGTH, RECORD_FEATURES)


def held_out_folds(groups: Sequence[str], folds: int) -> np.ndarray:
    """A fold per pair, whole groups together, folds about equally large; the same for the same groups in any order."""
    sizes = Counter(groups)
    loads = [0] * folds
    fold_of: dict[str, int] = {}
    for group in sorted(sizes, key=lambda one: (-sizes[one], one)):
        fold_of[group] = loads.index(min(loads))
        loads[fold_of[group]] += sizes[group]
    return np.array([fold_of[group] for group in groups], np.int64)


def _cross_fitted(features: Columns, labels: np.ndarray, among: np.ndarray, groups: tuple[str, ...]) -> np.ndarray:
    """First scores of the pairs `among`, each by a model that saw none of its state; zero elsewhere."""
    inner = held_out_folds(groups, INNER_FOLDS)
    scores = np.zeros(len(labels), np.int64)
    for fold in range(INNER_FOLDS):
        test = among & (inner == fold)
        train = among & (inner != fold) & (labels >= 0)
        scores[test] = score(_at(features, test), _weights(features, labels, train, FIRST_STRENGTH))
    return scores


def _rivals(board: Board, first: np.ndarray) -> Columns:
    return competition(first, *rival_scores(board, first))


def _at(features: Columns, where: np.ndarray) -> Columns:
    return {name: values[where] for name, values in features.items()}


def _weights(
    features: Columns,
    labels: np.ndarray,
    train: np.ndarray,
    strength: float,
    names: tuple[str, ...] = PAIR_FEATURES,
) -> Weights:
    """A standardised L2 logistic regression, its scaling folded in, in millionths."""
    values = matrix(_at(features, train), names)
    centre, spread = values.mean(axis=0), values.std(axis=0)
    scaled = (values - centre) / np.where(spread > 0, spread, 1)
    regression, one_thread = _regression(strength)
    with one_thread:  # two threads on these sizes cost ten times what they save
        fitted = regression.fit(scaled, labels[train])
    slopes = np.where(spread > 0, fitted.coef_[0] / np.where(spread > 0, spread, 1), 0)
    intercept = float(fitted.intercept_[0] - (slopes * centre).sum())
    millionths = np.rint(slopes * 1e6).astype(np.int64).tolist()
    return Weights(intercept=round(intercept * 1e6), coefficients=dict(zip(names, millionths, strict=True)))


def _regression(strength: float) -> tuple[Any, Any]:
    try:
        from sklearn.linear_model import LogisticRegression  # an extra: scoring does not need it
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        raise FitUnavailable("fitting needs scikit-learn: pip install 'platbook[fit]'") from error
    return LogisticRegression(C=strength, max_iter=1000), threadpool_limits(1)


def one_to_one(study: Study, least: int) -> np.ndarray:
    """Positions of the pairs that would be linked from a score on: each party of a source once, best first."""
    board, final = study.board, study.final
    at = np.flatnonzero((final >= least) & (study.doubts == 0))
    taken: set[tuple[int, str] | int] = set()
    held: dict[int, list[Party]] = defaultdict(list)
    chosen = []
    for pair in at[np.lexsort((board.right[at], board.left[at], -final[at]))].tolist():
        left, right = int(board.left[pair]), int(board.right[pair])
        record = board.keys[right]
        slot = (left, record[0])
        if slot in taken or right in taken or any((one, record) in study.apart for one in held[left]):
            continue
        taken |= {slot, right}
        held[left].append(record)
        chosen.append(pair)
    return np.array(chosen, np.int64)


def unlike_records(study: Study) -> frozenset[tuple[Party, Party]]:
    """Pairs of records, both ways round, that are two organisations by their held-out score."""
    keys, board = study.board.keys, study.board
    at = np.flatnonzero(study.final <= UNLIKE)
    pairs = [(keys[i], keys[j]) for i, j in zip(board.left[at], board.right[at], strict=True)]
    return frozenset(pair for i, j in pairs if i[0] != j[0] for pair in ((i, j), (j, i)))


def lowest_threshold(study: Study, precision: float) -> int:
    """The lowest score from which on links among held-out pairs are right as often as asked."""
    best = int(study.final.max(initial=0))
    for least, right, wrong in _curve(study):
        if right + wrong and right / (right + wrong) >= precision:
            best = least
    return best


def _curve(study: Study) -> Iterator[tuple[int, int, int]]:
    """Threshold, right and wrong links from there on, from the highest threshold down to 0."""
    chosen = one_to_one(study, 0)
    scores, labels = study.final[chosen], study.labels[chosen]
    for least in range(8000, -1, -_STEP):
        held = labels[scores >= least]
        yield least, int((held == 1).sum()), int((held == 0).sum())


def _review_threshold(study: Study, auto: int, share: float = 0.02) -> int:
    """The lowest score at which the pairs shown to a person are at most this share of the firms compared."""
    chosen = one_to_one(study, -8000)
    scores = np.sort(study.final[chosen][study.final[chosen] < auto])[::-1]
    room = int(share * len(set(study.board.left.tolist())))
    return int(scores[min(room, len(scores)) - 1]) if room and len(scores) else auto


def _figures(study: Study, auto: int) -> dict[str, float]:
    chosen = one_to_one(study, auto)
    labels = study.labels[chosen]
    right, wrong = int((labels == 1).sum()), int((labels == 0).sum())
    possible = len({(i, study.board.keys[j][0]) for i, j in _same(study)})
    return {
        "model_link_precision": round(right / max(right + wrong, 1), 4),
        "model_link_recall": round(right / max(possible, 1), 4),
    }


def _same(study: Study) -> Iterator[tuple[int, int]]:
    for at in np.flatnonzero(study.labels == 1).tolist():
        yield int(study.board.left[at]), int(study.board.right[at])
