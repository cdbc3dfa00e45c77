"""Which lane carries a write: the most careful one that any of its fields asks for."""

from __future__ import annotations

from collections.abc import Mapping

import narwhals as nw

from sync.frames import Expr, cases

LANES = ("conditional", "association", "batch")
"""Most careful first. `conditional` writes only if the record is as it was read; it is what unknown fields get."""

DEFAULT_LANE = LANES[0]


def lane_rank(lanes: Mapping[str, Mapping[str, str]]) -> Expr:
    """Position in LANES of the lane of a change row (columns `connection` and `field`)."""
    pairs = [
        ((nw.col("connection") == connection) & (nw.col("field") == field), LANES.index(lane))
        for connection, fields in sorted(lanes.items())
        for field, lane in sorted(fields.items())
        if lane != DEFAULT_LANE
    ]
    return cases(pairs, 0).cast(nw.Int64())


def lane_name(rank: Expr) -> Expr:
    """The lane at a position in LANES."""
    return cases([(rank == position, name) for position, name in enumerate(LANES)], DEFAULT_LANE)
