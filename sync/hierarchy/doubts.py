"""What the hierarchy could not decide, and what a person should look at, as problems with the organisations' names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import narwhals as nw

from sync.engine import Engine, Frame
from sync.hierarchy.forest import Forest
from sync.hierarchy.stated import Stated
from sync.problem import Problem, Severity

_SHOWN = 6
"""Names of a tangle that its heading gives."""


def doubts(forest: Forest, engine: Engine) -> tuple[Problem, ...]:
    """Problems of the forest, sorted by (code, subject)."""
    found = [*_cycles(forest, engine), *_conflicts(forest, engine), *_vanished(forest.feed.blanks, engine)]
    if forest.stated is not None:
        found += [*_overdue(forest.stated, forest, engine), *_unlinked(forest.stated, engine)]
    return tuple(sorted(found, key=lambda problem: (problem.code, problem.subject, problem.refs)))


def _names(forest: Forest, ids: Iterable[str], engine: Engine) -> Mapping[str, str]:
    named = forest.nodes.filter(nw.col("account_id").is_in(sorted(ids))).select("account_id", "name")
    return {row["account_id"]: row["name"] or row["account_id"] for row in engine.rows(named)}


def _cycles(forest: Forest, engine: Engine) -> Iterator[Problem]:
    cycles = forest.tree.cycles
    members = {member for cycle in cycles for member in cycle.members}
    if not members:
        return
    names = _names(forest, members, engine)
    for cycle in cycles:
        left_out = _left_out(len(cycle.dropped))
        yield Problem(
            code="PARENT-CYCLE",
            severity=Severity.REVIEW,
            subject=_shown([names[member] for member in cycle.members]),
            fact=f"{len(cycle.members)} organisations are each other's parents; {left_out} to go on",
            remedy="Correct the parents at the source. Until then no parent of a member is written.",
            refs=cycle.members,
        )


def _shown(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return " / ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _left_out(edges: int) -> str:
    return "one edge was left out" if edges == 1 else f"{edges} edges were left out"


def _conflicts(forest: Forest, engine: Engine) -> Iterator[Problem]:
    contested = forest.tree.hierarchy.filter(nw.col("conflict").is_in(["NO_CONTROL", "DEPTH"]))
    rows = list(engine.rows(contested.select("account_id", "conflict")))
    if not rows:
        return
    shares = _shares(forest, [row["account_id"] for row in rows], engine)
    names = _names(forest, [row["account_id"] for row in rows], engine)
    for row in rows:
        deep = row["conflict"] == "DEPTH"
        listed = ", ".join(shares.get(row["account_id"], []))
        yield Problem(
            code="HIERARCHY-DEPTH" if deep else "NO-CONTROL",
            severity=Severity.REVIEW,
            subject=names[row["account_id"]],
            fact="the chain of parents is longer than max_rounds" if deep else f"no candidate controls it: {listed}",
            remedy="Confirm the controlling parent. Until then the parent is left as it is.",
            refs=(row["account_id"],),
        )


def _shares(forest: Forest, children: list[str], engine: Engine) -> dict[str, list[str]]:
    """Per child its candidates as "A OWNS 50 % (of system S)", largest share first."""
    systems = forest.tree.hierarchy.select(nw.col("account_id").alias("parent"), "system_name", "system_account_id")
    edges = forest.tree.candidates.filter(nw.col("child").is_in(sorted(children)))
    named = edges.join(systems, on="parent", how="left").join(
        forest.nodes.select(nw.col("account_id").alias("parent"), "name"), on="parent", how="left"
    )
    found: dict[str, list[tuple[int, str]]] = {}
    for row in engine.rows(named):
        share = "unknown share" if row["pct_bp"] is None else f"{row['pct_bp'] / 100:g} %"
        of = "" if row["system_account_id"] == row["parent"] else f", of {row['system_name'] or '?'}"
        words = f"{row['name'] or row['parent']} ({row['kind']}, {share}{of})"
        found.setdefault(row["child"], []).append((-(row["pct_bp"] or 0), words))
    return {child: [words for _, words in sorted(listed)] for child, listed in found.items()}


def _vanished(blanks: Frame, engine: Engine) -> Iterator[Problem]:
    for row in engine.rows(blanks):
        yield Problem(
            code="SYSTEM-BLANK",
            severity=Severity.REVIEW,
            subject=row["name"] or row["firm_id"],
            fact=f"the delivery before put it under {row['previous_idn']}, the newest one leaves its system blank",
            remedy="Confirm whether it left its system. Until then its parent is left as it is.",
            refs=(row["account_id"], row["ref"]),
        )


def _overdue(stated: Stated, forest: Forest, engine: Engine) -> Iterator[Problem]:
    rows = list(engine.rows(stated.watch.filter(nw.col("is_overdue"))))
    names = _names(forest, {row[end] for row in rows for end in ("child", "parent")}, engine) if rows else {}
    for row in rows:
        yield Problem(
            code="DEAL-OVERDUE",
            severity=Severity.REVIEW,
            subject=names.get(row["child"], row["child"]),
            fact=f"its deal with {names.get(row['parent'], row['parent'])} was to close on {row['effective_from']}",
            remedy="State it as ACTIVE or REJECTED in the edge feed. Until then nothing changes.",
            refs=(row["child"], row["source_ref"]),
        )


def _unlinked(stated: Stated, engine: Engine) -> Iterator[Problem]:
    for row in engine.rows(stated.unlinked):
        yield Problem(
            code="EDGE-UNLINKED",
            severity=Severity.INFO,
            subject=row["child_id"],
            fact="an edge is stated about it, and no CRM and no vendor has one organisation of this id",
            remedy="Correct the id; write connection:record id where two sources use the same number.",
            refs=(row["ref"],),
        )
