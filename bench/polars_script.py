"""The peer: the same joins and rules as the core, written by hand in Polars for one machine and this one policy.

No protocol, no second engine, no policy files: the default thresholds stand in the code (`bench/peers/rules.py`). What
it gives is what the core gives, table by table and to the digest of the plan; `bench/peers/check.py` checks that before
a ratio is printed.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from bench.peers import polars_plan as plan
from bench.peers.polars_links import link
from bench.peers.polars_owners import moves, owners
from bench.peers.polars_profiles import profiles
from bench.peers.polars_tiers import tiers
from bench.peers.polars_tree import accounts, tree
from bench.peers.rules import Outcome


def run(made: Mapping[str, pl.DataFrame]) -> Outcome:
    """Everything a peer decides about a generated world."""
    links = link(made)
    golden, _ = accounts(made, links)
    forest = tree(made, links, golden)
    judged, facts = tiers(golden, forest)
    described, systems = profiles(golden, forest, facts)
    owned = owners(made, links, golden, forest)
    found = plan.Decided(
        links=links,
        golden=golden,
        tree=forest,
        systems=systems,
        owners=owned,
        moves=moves(made, links),
    )
    rows = plan.differences(made, plan.desired(made, found))
    items = plan.items(rows, made)
    ids = items.select(*plan.KEY, "group", "item_id")
    rows = rows.join(ids, on=[*plan.KEY, "group"], how="left")
    rows = rows.with_columns(item_id=pl.when(pl.col("action") != "agree").then(pl.col("item_id")))
    return Outcome(
        links=links,
        accounts=golden,
        hierarchy=forest,
        tiers=judged,
        profiles=described,
        ownership=owned,
        items=items,
        changes=rows.select(plan.CHANGES),
        events=plan.events(rows, items),
        guards=plan.guards(rows, items, made),
        digest=plan.digest(items, rows),
    )
