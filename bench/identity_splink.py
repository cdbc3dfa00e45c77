"""The peer of the identity bench: Splink, unsupervised, on the very pairs that our model scores.

Splink is no part of the product: `make peers` adds it to .venv. It runs in a process of its own, so that its memory can
be read apart.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import resource
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any

import numpy as np
import pyarrow as pa

from jobs.identity_fit import Study
from sync.identity.board import FLOOR, Board
from sync.identity.traits import NOWHERE

HOW_TO_GET_IT = "Splink is not installed, so no peer is measured: `make peers` adds it to .venv"
_TEXTS = ("state", "zip5", "phone", "domain", "kind_group", "ccn", "npi")
_DEGREE = 10_000
_SAMPLED_PAIRS = 2_000_000
_TYPICAL_RECALL = 0.7  # of the rules that estimate how many pairs are the same; Splink asks for a rough number
_SEED = 1


@dataclass(frozen=True, slots=True)
class Peer:
    """What Splink made of the pairs."""

    version: str
    study: Study  # the same pairs and labels, its scores
    seconds: float  # of processors
    peak_mib: float


def measure(study: Study) -> Peer | None:
    """Splink on the pairs of a study; None where it is not installed."""
    if importlib.util.find_spec("splink") is None:
        return None
    firms, records = _parties(study.board)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        version, scores, seconds, peak = pool.submit(
            _score, firms, records, study.board.left, study.board.right
        ).result()
    scored = replace(study, first=scores, final=scores, apart=frozenset())
    return Peer(version=version, study=scored, seconds=seconds, peak_mib=peak)


def _parties(board: Board) -> tuple[pa.Table, pa.Table]:
    """Both sides as tables; `pairs` names the pairs that a party is in, so that blocking gives exactly these."""
    tables = []
    for side in (board.left, board.right):
        pairs: dict[int, list[int]] = defaultdict(list)
        for at, row in enumerate(side.tolist()):
            pairs[row].append(at)
        tables.append(_table(board, pairs))
    return tables[0], tables[1]


def _table(board: Board, pairs: dict[int, list[int]]) -> pa.Table:
    traits, rows = board.traits, sorted(pairs)
    texts = {
        "name": traits.names,
        "core": traits.cores,
        "street": traits.streets,
        "city": traits.texts["city"],
        **{name: traits.texts[name] for name in _TEXTS},
    }
    columns: dict[str, Any] = {"unique_id": pa.array(rows, pa.int64())}
    columns |= {name: pa.array([values[row] or None for row in rows], pa.string()) for name, values in texts.items()}
    for name, values in (("latitude", traits.latitude), ("longitude", traits.longitude)):
        known = [None if values[row] == NOWHERE else values[row] / _DEGREE for row in rows]
        columns[name] = pa.array(known, pa.float64())
    return pa.table({**columns, "pairs": pa.array([pairs[row] for row in rows], pa.list_(pa.int64()))})


def _score(
    firms: pa.Table, records: pa.Table, left: np.ndarray, right: np.ndarray
) -> tuple[str, np.ndarray, float, float]:
    """Version, scores in thousandths of a logit, processor seconds and peak MiB; runs in the child process."""
    import splink  # an extra of the bench

    logging.getLogger("splink").setLevel(logging.ERROR)  # levels that never occur are no news here
    started = time.process_time()
    api = splink.DuckDBAPI()
    sides = [api.register(one, dataset_display_name=name) for one, name in ((firms, "a_firms"), (records, "b_records"))]
    linker: Any = splink.Linker(sides, _settings(), log_level=None)
    _train(linker)
    made = linker.inference.predict().as_pyarrow_table()
    place = {pair: at for at, pair in enumerate(zip(left.tolist(), right.tolist(), strict=True))}
    scores = np.full(len(left), FLOOR, np.int64)
    columns = (made[name].to_pylist() for name in ("unique_id_l", "unique_id_r", "match_weight"))
    for one, other, weight in zip(*columns, strict=True):
        scores[place[one, other]] = round(weight * math.log(2) * 1000)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return splink.__version__, scores, time.process_time() - started, peak


def _settings() -> Any:
    import splink.comparison_library as cl
    from splink import SettingsCreator, block_on

    return SettingsCreator(
        link_type="link_only",
        comparisons=[
            cl.JaroWinklerAtThresholds("name", [0.95, 0.88, 0.8]).configure(term_frequency_adjustments=True),
            cl.JaroWinklerAtThresholds("core", [0.92, 0.8]).configure(term_frequency_adjustments=True),
            cl.JaroWinklerAtThresholds("street", [0.95, 0.88]),
            _place(),
            cl.ExactMatch("city").configure(term_frequency_adjustments=True),
            cl.ExactMatch("phone").configure(term_frequency_adjustments=True),
            cl.ExactMatch("domain").configure(term_frequency_adjustments=True),
            cl.ExactMatch("kind_group"),
            cl.ExactMatch("ccn"),
            cl.ExactMatch("npi"),
        ],
        blocking_rules_to_generate_predictions=[block_on("pairs", arrays_to_explode=["pairs"])],
    )


def _place() -> Any:
    """ZIP code and distance as one comparison: as two, EM would count one fact twice.

    The best of six settings that were tried.
    """
    import splink.comparison_level_library as levels
    from splink.comparison_library import CustomComparison

    return CustomComparison(
        output_column_name="place",
        comparison_levels=[
            levels.NullLevel("zip5"),
            levels.ExactMatchLevel("zip5"),
            levels.DistanceInKMLevel("latitude", "longitude", km_threshold=5),
            levels.DistanceInKMLevel("latitude", "longitude", km_threshold=25),
            levels.ElseLevel(),
        ],
    )


def _train(linker: Any) -> None:
    """Chance agreement from random pairs, then EM under two blocking rules, so that each comparison is estimated."""
    from splink import block_on

    training = linker.training
    sure = [block_on("phone", "zip5"), block_on("name", "zip5"), block_on("npi"), block_on("ccn")]
    training.estimate_probability_two_random_records_match(sure, recall=_TYPICAL_RECALL)
    training.estimate_u_using_random_sampling(max_pairs=_SAMPLED_PAIRS, seed=_SEED)
    for rule in (block_on("zip5"), block_on("phone"), block_on("core", "state")):
        training.estimate_parameters_using_expectation_maximisation(rule, record_sample_proportion=1.0)
