"""The lints: the four failure modes of a segmentation, and what else breaks one.

FM1 several reps on one system     FM2 tiers that only measure size
FM3 a stale hierarchy              FM4 segments and territories cut too small
"""

from __future__ import annotations

from collections.abc import Callable

from sync.engine import Engine
from sync.insight import book_lints, data_lints, route_lints, tree_lints
from sync.insight.lint import Lint, Looked


def lints(looked: Looked, engine: Engine) -> tuple[Lint, ...]:
    """Every lint with what it found, empty ones included, sorted by id."""
    makers: tuple[Callable[[Looked, Engine], Lint], ...] = (
        *(book_lints.multi_rep, book_lints.geo_affiliated, book_lints.geo_owner),
        *(book_lints.top_three, book_lints.size_proxy, book_lints.score_size),
        *(tree_lints.stale, tree_lints.sla, tree_lints.authority, tree_lints.cycles, tree_lints.no_control),
        *(tree_lints.group_as_parent, tree_lints.duplicates),
        *(book_lints.segments, book_lints.territories, book_lints.differentiation, book_lints.tier_evenness),
        *(data_lints.cah_limit, data_lints.payer_sum, data_lints.expired_holds, data_lints.inactive_owners),
        *(route_lints.travel, route_lints.lead_old_owner, route_lints.deal_size),
        *(data_lints.regulation, data_lints.size_disagrees, data_lints.lighthouses),
    )
    return tuple(sorted((maker(looked, engine) for maker in makers), key=lambda lint: lint.id))
