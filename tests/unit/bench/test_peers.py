"""The core and its two peers do the same work, or a ratio between them would mean nothing."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

from bench import polars_script, row_objects
from bench.peers.check import check
from bench.peers.rules import Outcome
from bench.worlds import AS_OF, settled, tables, world_of
from jobs.engines import PolarsEngine
from mappings.load import load
from sync.reconcile import reconcile
from sync.world import Reconciliation

Made = dict[str, pl.DataFrame]


@pytest.fixture(scope="module")
def made() -> Made:
    return settled(tables(1500), load(), PolarsEngine())


@pytest.fixture(scope="module")
def decided(made: Made) -> Reconciliation:
    return reconcile(world_of(made), load(), AS_OF, PolarsEngine())


@pytest.fixture(scope="module")
def scripted(made: Made) -> Outcome:
    return polars_script.run(made)


def test_the_polars_script_decides_what_the_core_decides(decided: Reconciliation, scripted: Outcome) -> None:
    check(decided, scripted, "Polars script")
    assert scripted.items.height > 100


def test_the_row_objects_decide_what_the_core_decides(made: Made, decided: Reconciliation) -> None:
    check(decided, row_objects.outcome(row_objects.run(made)), "row objects")


def test_a_peer_with_another_fact_behind_one_change_is_told_apart(decided: Reconciliation, scripted: Outcome) -> None:
    first = pl.int_range(pl.len()) == 0
    reworded = pl.when(first).then(pl.lit("{}")).otherwise(pl.col("evidence")).alias("evidence")
    with pytest.raises(SystemExit, match="evidence"):
        check(decided, replace(scripted, changes=scripted.changes.with_columns(reworded)), "Polars script")


def test_a_peer_with_another_digest_is_told_apart(decided: Reconciliation, scripted: Outcome) -> None:
    with pytest.raises(SystemExit, match="digest"):
        check(decided, replace(scripted, digest="0"), "Polars script")
