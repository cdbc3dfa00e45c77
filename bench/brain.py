"""`python -m bench.brain`: everything the rules can decide, against the hand-written script, per rule evaluated.

    reference   bench/polars_script.py on the generated world: the rules of the first issue by hand, for one policy
    brain       stages 1 to 8 on the same world with signals, people, deals, confirmed facts, edges and authority
                records: reconcile, then the standing of every account, every KPI and every lint
    rules       what is asked of an account: predicates, tiers, routing rules, steps to an owner, ways to a parent,
                managed fields; the brain's also strengths, profiles, segments, gates, features of the score, questions
                of authority with their specificities and defaults, kinds of events, KPIs and lints
    goal        processor seconds per rule at most twice those of the reference

Read the processor seconds: the wall is other people's as well.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from bench import polars_script
from bench.reconcile import Peak, Taken, timed
from bench.worlds import AS_OF, conformed, settled, tables, world_of
from jobs.engines import PolarsEngine
from mappings.canonical import MANAGED
from mappings.load import load
from mappings.policy import Mappings, Territory
from sync.authority.resolve import SPECIFICITY
from sync.engine import Engine
from sync.insight.kpi import Numbers
from sync.insight.kpis import kpis
from sync.insight.lint import Looked
from sync.insight.lints import lints
from sync.insight.standing import Found, deals, standing, wins
from sync.reconcile import reconcile
from sync.segmentation.holdings import LINES
from sync.segmentation.scores import card
from sync.world import AUTHORITY_FACTS, CONTACTS, EDGE_FACTS, FACTS, OPPORTUNITIES, SIGNALS, World

GOAL = 2.0
_WAYS_TO_A_PARENT = 6  # override, operator, majority, only owner of unknown share, site, nobody
_REGIONS = (("NORTH", ("KS", "IA", "NE", "MO")), ("SOUTH", ("OK", "TX", "CO", "AR")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Thought:
    """One run of the brain: what it took, and how many rules it evaluated."""

    decided: Taken  # stages 1 to 7: the reconciliation
    looked: Taken  # stage 8: standing, KPIs, lints
    rules: int
    peak_mib: float
    found: int  # rows of evidence

    @property
    def processor(self) -> float:
        """Processor seconds of all stages."""
        return self.decided.pair[1] + self.looked.pair[1]


def reference_rules(mappings: Mappings) -> int:
    """Rules that the reference evaluates."""
    policies = mappings.policies
    tiered = len(policies.tiers.predicates) + len(policies.tiers.tiers)
    owned = len(policies.territories.owner_order) + len(policies.routing.rules)
    return tiered + owned + len(MANAGED) + _WAYS_TO_A_PARENT


def brain_rules(mappings: Mappings, measured: int) -> int:
    """Rules that the brain evaluates; `measured` are its KPIs and lints."""
    policies = mappings.policies
    segmented = sum(1 + (one.exclude is not None) for one in policies.segments.segments)
    asked = len(policies.authority.needs) * len(SPECIFICITY) + len(policies.authority.defaults)
    scored = len(card(policies.scores).leaves) + len(policies.scores.gates)
    return (
        reference_rules(mappings) + segmented + len(policies.segments.profiles) + len(LINES) + scored + asked
        + len(policies.triggers.rules) + measured
    )  # fmt: skip


def everything(made: Mapping[str, pl.DataFrame], *, seed: int = 11) -> dict[str, pl.DataFrame]:
    """The world with all that the brain reads besides: of every tenth firm something, of every fiftieth more."""
    random = np.random.default_rng(seed)
    tenth = made["firms"].gather_every(10, 3).select("firm_id", "domain")
    records = made["records"].filter(pl.col("connection") == "salesforce").gather_every(10, 3)
    count, known = tenth.height, records.height
    days = np.array([(date.fromisoformat(AS_OF) - timedelta(days=int(n))).isoformat() for n in range(400)])
    kinds = np.array(["web_visit", "content", "demo_view", "form_fill", "intent"])
    signals = tenth.with_columns(
        pl.lit("sixsense").alias("feed"),
        pl.Series("kind", kinds[random.integers(0, len(kinds), count)]),
        pl.lit("Infusion Pumps").alias("topic"),
        pl.Series("strength", random.integers(20, 100, count)),
        pl.Series("person", random.integers(0, 10**9, count).astype(str)),
        pl.Series("occurred_on", days[random.integers(0, len(days), count)]),
    )
    contacts = records.select("record_id").with_columns(
        pl.lit("crm_contacts").alias("feed"),
        pl.Series("person", random.integers(0, 10**9, known).astype(str)),
        pl.lit("Chief Information Officer").alias("title"),
        pl.Series("is_champion", random.random(known) < 0.1),
        pl.Series("last_touch_on", days[random.integers(0, len(days), known)]),
    )
    closed, won = random.random(known) < 0.7, random.random(known) < 0.4
    opportunities = records.select("connection", "record_id", "owner").with_columns(
        pl.Series("opportunity_id", np.arange(known).astype(str)),
        pl.lit("Proposal").alias("stage"),
        pl.Series("amount_cents", random.integers(10**6, 10**8, known)),
        pl.Series("is_closed", closed),
        pl.Series("is_won", closed & won),
        pl.Series("created_on", days[200 + random.integers(0, 200, known)]),
        pl.Series("close_date", days[random.integers(0, 200, known)]),
    )
    return {
        **made,
        "signals": conformed(signals, SIGNALS),
        "contacts": conformed(contacts, CONTACTS),
        "opportunities": conformed(opportunities, OPPORTUNITIES),
        "facts": conformed(_facts(made["firms"]), FACTS),
        "edge_facts": conformed(_edges(made["firms"]), EDGE_FACTS),
        "authority_facts": conformed(_authority(made["firms"]), AUTHORITY_FACTS),
    }


def _facts(firms: pl.DataFrame) -> pl.DataFrame:
    """Five confirmed facts of every system."""
    said = {
        "commercial_share": ("52", ""),
        "oncology_strength": ("STRONG", ""),
        "gpo_contract": ("none", "infusion_pumps"),
    }
    said |= {"procurement_centralized": ("true", ""), "it_budget_usd": ("12000000", "")}
    systems = firms.filter(pl.col("firm_id") == pl.col("idn_parent_id")).select("firm_id")
    parts = [
        systems.with_columns(fact=pl.lit(name), value=pl.lit(value), category=pl.lit(category))
        for name, (value, category) in said.items()
    ]
    stamp = {"feed": "facts", "valid_from": "2024-01-01", "file": "facts.csv", "row": 2}
    return pl.concat(parts).with_columns(**{name: pl.lit(value) for name, value in stamp.items()})


def _edges(firms: pl.DataFrame) -> pl.DataFrame:
    """A dated sale of every hundredth firm, and a membership of every twentieth."""
    sold = firms.gather_every(100, 9).select(
        pl.col("firm_id").alias("child_id"), pl.col("idn_parent_id").alias("parent_id"), pl.lit("OWNS").alias("kind"),
        pl.lit(10_000).alias("pct_bp"), pl.lit("2026-01-05").alias("effective_from"),
    )  # fmt: skip
    member = firms.gather_every(20, 5).select(
        pl.col("firm_id").alias("child_id"), pl.lit("GPO-1").alias("parent_id"), pl.lit("GPO_MEMBER").alias("kind"),
        pl.lit(None, dtype=pl.Int32).alias("pct_bp"), pl.lit("2024-01-01").alias("effective_from"),
    )  # fmt: skip
    stamp = {"feed": "edges", "source": "steward", "state": "ACTIVE", "first_seen": "2026-01-06", "as_of": "2026-01-06"}
    both = pl.concat([sold, member], how="vertical_relaxed").with_row_index("row", 2)
    return both.with_columns(file=pl.lit("edges.csv"), **{name: pl.lit(value) for name, value in stamp.items()})


def _authority(firms: pl.DataFrame) -> pl.DataFrame:
    """Every two-hundredth firm decides for itself."""
    stamp = {"feed": "authority", "function": "ALL", "service_line": "ALL", "category": "ALL", "level": "SITE"}
    stamp |= {"source": "STEWARD", "valid_from": "2024-01-01", "file": "authority.csv"}
    chosen = firms.gather_every(200, 11).select(pl.col("firm_id").alias("org_id")).with_row_index("row", 2)
    return chosen.with_columns(**{name: pl.lit(value) for name, value in stamp.items()})


def think(world: World, mappings: Mappings, engine: Engine) -> Thought:
    """All stages once."""
    with Peak() as peak:
        with timed() as decided:
            made = reconcile(world, mappings, AS_OF, engine)
            engine.count(made.plan.items)
        with timed() as looked:
            found = Found(
                world=world, links=made.links, accounts=made.accounts, hierarchy=made.hierarchy, tiers=made.tiers,
                ownership=made.ownership, profiles=engine.materialize(made.profiles),  # type: ignore[arg-type]  # a run of all stages has them
                policies=mappings.policies, as_of=AS_OF,
            )  # fmt: skip
            stands = standing(found, engine)
            users = {(r["connection"], r["user_id"]): r["email"] for r in engine.rows(world.users)}
            numbers = Numbers(
                standing=stands, deals=deals(found, stands, engine), wins=wins(found), users=users,
                policies=found.policies, as_of=AS_OF,
            )  # fmt: skip
            measured = kpis(numbers, engine)
            listed = lints(
                Looked(found=found, standing=stands, kpis=measured, problems=made.problems, mappings=mappings), engine
            )
    rules = brain_rules(mappings, len(measured) + len(listed))
    rows = sum(len(one.rows) for one in listed)
    return Thought(decided=decided, looked=looked, rules=rules, peak_mib=peak.highest, found=rows)


def with_territories(mappings: Mappings) -> Mappings:
    """The shipped policies with two territories, so that everything about territories is measured."""
    drawn = tuple(Territory(id=name, name=name, states=states) for name, states in _REGIONS)
    policy = mappings.policies.territories.model_copy(update={"territories": drawn})
    return mappings.model_copy(update={"policies": mappings.policies.model_copy(update={"territories": policy})})


def main() -> int:
    """Print both runs and the ratio; 1 where the goal is missed."""
    parser = argparse.ArgumentParser(prog="bench.brain", description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    options = parser.parse_args()
    engine, plain = PolarsEngine(), load()
    mappings = with_territories(plain)
    made = settled(tables(options.accounts), plain, engine)
    with timed() as script:
        polars_script.run(made)
    full = everything(made)
    del made
    thought = think(world_of(full), mappings, engine)
    rules = reference_rules(plain)
    reference, brain = script.pair[1] / rules, thought.processor / thought.rules
    print(f"{options.accounts:,} accounts; processor seconds, wall seconds beside them")
    print(f"reference {script.pair[1]:8.2f} {script.pair[0]:8.2f}   {rules:>4} rules, {1000 * reference:7.2f} ms each")
    print(f"brain     {thought.processor:8.2f} {thought.decided.pair[0] + thought.looked.pair[0]:8.2f}   "
          f"{thought.rules:>4} rules, {1000 * brain:7.2f} ms each")  # fmt: skip
    print(f"  decided {thought.decided.pair[1]:8.2f} {thought.decided.pair[0]:8.2f}   stages 1 to 7")
    print(f"  looked  {thought.looked.pair[1]:8.2f} {thought.looked.pair[0]:8.2f}   {thought.found:,} rows of evidence")
    print(f"per rule: {brain / reference:.2f} times the reference (goal {GOAL:g}); peak {thought.peak_mib:,.0f} MiB")
    return 0 if brain <= GOAL * reference else 1


if __name__ == "__main__":
    raise SystemExit(main())
