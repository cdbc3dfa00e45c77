"""Rivals: the best score that a party reaches with anybody else."""

from __future__ import annotations

import numpy as np

from sync.identity.features import NO_RIVAL


def best_other(scores: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """For each pair the best score of any other pair of its group; NO_RIVAL where it is alone."""
    if not len(scores):
        return scores.astype(np.int64)
    order = np.lexsort((-scores, groups))
    ranked, keys = scores[order], groups[order]
    is_first = np.r_[True, keys[1:] != keys[:-1]]
    starts = np.flatnonzero(is_first)
    ends = np.r_[starts[1:], len(keys)]
    place = np.cumsum(is_first) - 1
    seconds = np.where(ends - starts > 1, ranked[np.minimum(starts + 1, len(keys) - 1)], NO_RIVAL)
    made = np.empty(len(scores), np.int64)
    made[order] = np.where(is_first, seconds[place], ranked[starts][place])
    return made
