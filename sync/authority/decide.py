"""Who decides in a world: the records on file, resolved for the policy's questions."""

from __future__ import annotations

from mappings.policy import Policies
from sync.authority.records import authority_records, record_ids
from sync.authority.resolve import needs_of, needs_table, recorded
from sync.engine import Engine, Frame
from sync.hierarchy.forest import Forest, Linked


def who_decides(linked: Linked, forest: Forest, policies: Policies, as_of: str, engine: Engine) -> Frame:
    """ANSWERS to the policy's questions that rest on records; everybody else decides by default."""
    ids = record_ids(linked.world, linked.links, forest.feed.stubs, engine)
    records = authority_records(linked.world, linked.confirmed, ids, policies.authority, as_of, engine)
    return recorded(records, forest.tree.hierarchy, questions(policies, engine), engine)


def questions(policies: Policies, engine: Engine) -> Frame:
    """NEEDS of the policy, with the target line and category of the tiers."""
    given = policies.tiers.assumptions
    line, category = str(given.get("target_service_line", "ONCOLOGY")), str(given.get("category", "ALL"))
    return needs_table(needs_of(policies.authority, line, category), engine)
