"""The tables of the state: all that is transactional. What is large lives in Parquet files that rows point to."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
BIG = sa.BigInteger().with_variant(Integer, "sqlite")

counter = Table(
    "counter",
    metadata,
    Column("name", String, primary_key=True),
    Column("value", BIG, nullable=False),
)
"""Numbers that only grow. A row is locked until its transaction ends: numbers and commits have one order."""

connection = Table(
    "connection",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("org_id", String, nullable=False),
    Column("pinned_at", String, nullable=False),
    Column("mode", String, nullable=False, server_default="auto"),  # observe, propose, auto
    Column("capabilities", sa.JSON, nullable=False, server_default="{}"),  # what was proven there, by name
)

lease = Table(
    "lease",
    metadata,
    Column("name", String, primary_key=True),
    Column("epoch", BIG, nullable=False),  # grows with every acquisition, never reused
    Column("holder", String, nullable=False),  # "" = free
    Column("who", String, nullable=False),
    Column("host", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("op", String, nullable=False),
    Column("since", String, nullable=False),
    Column("boot_id", String, nullable=False),  # the clock of `expires` is only valid within one boot
    Column("expires", Float, nullable=False),  # seconds of the lease clock
)

slot = Table(
    "slot",
    metadata,
    Column("job", String, primary_key=True),
    Column("slot", String, primary_key=True),  # the instant the job was due
    Column("status", String, nullable=False),
    Column("claimed_by", String, nullable=False),
    Column("claimed_at", String, nullable=False),
    Column("finished_at", String),
    Column("message", Text, nullable=False),
)

snapshot = Table(
    "snapshot",
    metadata,
    Column("id", String, primary_key=True),
    Column("source", String, nullable=False),
    Column("object", String, nullable=False),
    Column("position", BIG, nullable=False),  # order of acceptance; of arrival until then
    Column("taken_at", String, nullable=False),
    Column("cursor", String),
    Column("complete", Boolean, nullable=False),
    Column("row_count", BIG, nullable=False),
    Column("sha256", String, nullable=False),
    Column("schema_hash", String, nullable=False),
    Column("status", String, nullable=False),
    Column("verdict", sa.JSON, nullable=False),
    Column("meta", sa.JSON, nullable=False),
    Index("ix_snapshot_source_object_position", "source", "object", "position"),
)

crosswalk = Table(
    "crosswalk",
    metadata,
    Column("source", String, primary_key=True),
    Column("source_id", String, primary_key=True),
    Column("account_id", String, nullable=False),
    Column("how", String, nullable=False),
    Column("decided_by", String, nullable=False),
    Column("decided_at", String, nullable=False),
    Column("evidence", Text),  # JSON of the run that made the link
)

link_decision = Table(
    "link_decision",
    metadata,
    Column("id", String, primary_key=True),
    Column("position", BIG, nullable=False),
    Column("source", String, nullable=False),
    Column("source_id", String, nullable=False),
    Column("other_source", String, nullable=False),
    Column("other_id", String, nullable=False),
    Column("verdict", String, nullable=False),  # link, not_link
    Column("reason", Text, nullable=False),
    Column("by", String, nullable=False),
    Column("by_verified", Boolean, nullable=False),
    Column("at", String, nullable=False),
    Index("ix_link_decision_position", "position", unique=True),
)
"""What persons said about two parties; append-only, the newest word on a pair counts. The smaller key comes first."""

agreed_part = Table(
    "agreed_part",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),  # moves or compaction
    Column("position", BIG, nullable=False, index=True),
    Column("run_id", String, nullable=False),
    Column("plan_id", String, nullable=False),
    Column("sha256", String, nullable=False),
    Column("row_count", BIG, nullable=False),
    Column("at", String, nullable=False),
)

run = Table(
    "run",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("plan_id", String),
    Column("by", String, nullable=False),
    Column("started_at", String, nullable=False),
    Column("finished_at", String),
    Column("status", String, nullable=False),
    Column("counts", sa.JSON, nullable=False),
    Column("message", Text, nullable=False),
)

plan = Table(
    "plan",
    metadata,
    Column("id", String, primary_key=True),
    Column("digest", String, nullable=False),
    Column("seal", String, nullable=False),  # sha256 over everything below that must not change
    Column("ruleset_digest", String, nullable=False),
    Column("org_ids", sa.JSON, nullable=False),
    Column("snapshot_ids", sa.JSON, nullable=False),
    Column("feed_hashes", sa.JSON, nullable=False),
    Column("schema_hashes", sa.JSON, nullable=False),
    Column("as_of", String, nullable=False),
    Column("tool_version", String, nullable=False),
    Column("author", String, nullable=False),
    Column("author_kind", String, nullable=True),  # NULL = made before it was noted
    Column("rules_digest", String, nullable=True),  # the ruleset without the data about people; NULL = not noted
    Column("rule_files", sa.JSON(none_as_null=True), nullable=True),  # each file and its digest; NULL = not noted
    Column("created_at", String, nullable=False),
    Column("expires_at", String, nullable=False),
    Column("status", String, nullable=False, index=True),
    Column("counts", sa.JSON, nullable=False),
    Column("guards", sa.JSON, nullable=False),
    Column("items_sha256", String, nullable=False),
    Column("changes_sha256", String, nullable=False),
    Column("events_sha256", String, nullable=False),
)

outcome = Table(
    "outcome",
    metadata,
    Column("plan_id", String, ForeignKey("plan.id"), primary_key=True),
    Column("item_id", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("message", Text, nullable=False),
    Column("run_id", String, nullable=False),
    Column("at", String, nullable=False),
)
"""What became of an item of a plan; the newest word only, the audit has them all."""

decision = Table(
    "decision",
    metadata,
    Column("id", String, primary_key=True),
    Column("position", BIG, nullable=False, unique=True),
    Column("fingerprint", String, nullable=False, index=True),
    Column("verdict", String, nullable=False),
    Column("edited", sa.JSON, nullable=False),  # field -> canonical text, for verdict edit
    Column("reason", Text, nullable=False),
    Column("by", String, nullable=False),
    Column("by_verified", Boolean, nullable=False),
    Column("at", String, nullable=False),
    Column("expires_at", String),
    Column("supersedes", String),
    Column("plan_id", String),
    Column("item_id", String),
)

override = Table(
    "override",
    metadata,
    Column("id", String, primary_key=True),
    Column("position", BIG, nullable=False),
    Column("connection", String, nullable=False),
    Column("record_id", String, nullable=False),
    Column("field", String, nullable=False),
    Column("kept", Text),
    Column("refused", Text),
    Column("until", String),
    Column("reason", Text, nullable=False),
    Column("by", String, nullable=False),
    Column("at", String, nullable=False),
    Column("run_id", String, nullable=False),
    Index("ix_override_field", "connection", "record_id", "field"),
)

hold = Table(
    "hold",
    metadata,
    Column("id", String, primary_key=True),
    Column("connection", String, nullable=False),
    Column("record_id", String, nullable=False),
    Column("group", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("by", String, nullable=False),
    Column("at", String, nullable=False),
    Column("until", String),
    Column("released_at", String),
    Column("released_by", String),
    Index("ix_hold_record", "connection", "record_id"),
)

guard_acceptance = Table(
    "guard_acceptance",
    metadata,
    Column("plan_digest", String, primary_key=True),
    Column("guard", String, primary_key=True),
    Column("subject", String, primary_key=True),
    Column("by", String, primary_key=True),
    Column("by_verified", Boolean, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("at", String, nullable=False),
    Column("let_through", Boolean, nullable=False, server_default=sa.true()),  # with this word, enough had spoken
)

journal = Table(
    "journal",
    metadata,
    Column("id", String, primary_key=True),  # the idempotency key of the write
    Column("plan_id", String, ForeignKey("plan.id"), nullable=False),
    Column("item_id", String, nullable=False),
    Column("run_id", String, nullable=False),
    Column("connection", String, nullable=False),
    Column("record_id", String, nullable=False),
    Column("lane", String, nullable=False),
    Column("pre_image", sa.JSON, nullable=False),  # field -> canonical text just before
    Column("want", sa.JSON, nullable=False),  # field -> canonical text, null = clear
    Column("states", sa.JSON, nullable=False, server_default="{}"),  # field -> row of the decision table
    Column("version", String, nullable=False),
    Column("epoch", BIG, nullable=False),
    Column("state", String, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("response", sa.JSON, nullable=False),
    Column("verified_value", sa.JSON, nullable=False),  # field -> canonical text read back
    Column("position", BIG, index=True),  # order of agreed moves; null until verified
    Column("created_at", String, nullable=False),
    Column("at", String, nullable=False),
    UniqueConstraint("plan_id", "item_id"),
    Index("ix_journal_connection_state", "connection", "state"),
    Index("ix_journal_at", "at"),
)

owner_event = Table(
    "owner_event",
    metadata,
    Column("id", String, primary_key=True),
    Column("plan_id", String, ForeignKey("plan.id"), nullable=False, index=True),
    Column("run_id", String, nullable=False),
    Column("item_id", String, nullable=False),
    Column("connection", String, nullable=False),
    Column("record_id", String, nullable=False),
    Column("account_id", String, nullable=False),
    Column("account_name", Text, nullable=False),
    Column("kind", String, nullable=False),
    Column("old_system", Text),
    Column("new_system", Text),
    Column("from_user", String),
    Column("to_user", String),
    Column("at", String, nullable=False),
    Column("digest_part", Integer),  # which digest mail of the plan tells it; null until a run is closed
)

person = Table(
    "person",
    metadata,
    Column("name", String, primary_key=True),  # lower case
    Column("role", String, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("by", String, nullable=False),
    Column("at", String, nullable=False),
)

token = Table(
    "token",
    metadata,
    Column("id", String, primary_key=True),
    Column("person", String, ForeignKey("person.name"), nullable=False, index=True),
    Column("sha256", String, nullable=False, unique=True),  # of the token; the token itself is nowhere
    Column("label", String, nullable=False),
    Column("created_at", String, nullable=False),
    Column("expires_at", String, nullable=False),
    Column("revoked_at", String),
    Column("last_used_at", String),
)

generation = Table(
    "generation",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # always 1
    Column("generation", String, nullable=False),
    Column("restored_from", Text, nullable=False),  # "" = never restored, or re-baselined since
    Column("at", String, nullable=False),
)
"""Which life of the state this is: a restore begins another one, which may not write before it was re-baselined."""

audit = Table(
    "audit",
    metadata,
    Column("seq", BIG, primary_key=True, autoincrement=False),
    Column("at", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("run_id", String, nullable=False, index=True),
    Column("plan_id", String, nullable=False, index=True),
    Column("item_id", String, nullable=False),
    Column("body", Text, nullable=False),  # canonical JSON
    Column("previous_hash", String, nullable=False),
    Column("hash", String, nullable=False),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # always 1
    Column("seq", BIG, nullable=False),
    Column("hash", String, nullable=False),
)
"""Length and last hash of the chain: a cut tail shows against it. Its row lock puts appenders in a queue."""

outbox = Table(
    "outbox",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("plan_id", String, nullable=False),
    Column("part", Integer, nullable=False),  # a plan applied in several sittings has several digests
    Column("run_id", String, nullable=False),
    Column("recipient", String, nullable=False),
    Column("payload", sa.JSON, nullable=False),
    Column("message_id", String, nullable=False, unique=True),
    Column("status", String, nullable=False, index=True),
    Column("attempts", Integer, nullable=False),
    Column("created_at", String, nullable=False),
    Column("claimed_by", String),
    Column("claimed_at", String),
    Column("sent_at", String),
    Column("last_error", Text, nullable=False),
    UniqueConstraint("kind", "plan_id", "part", "recipient"),
)

routing_basis = Table(
    "routing_basis",
    metadata,
    Column("digest", String, primary_key=True),  # sha256 of the content
    Column("content", Text, nullable=False),  # canonical JSON: policy and people
    Column("at", String, nullable=False),
)
"""What many routing decisions share, each version once."""

routing_decision = Table(
    "routing_decision",
    metadata,
    Column("id", String, primary_key=True),
    Column("position", BIG, nullable=False, unique=True),
    Column("lead_id", String, nullable=False),  # of the sender; empty = none
    Column("as_of", String, nullable=False),
    Column("outcome", String, nullable=False),
    Column("assignee", String),
    Column("account_id", String),
    Column("rule_id", String, nullable=False),
    Column("basis_digest", String, ForeignKey("routing_basis.digest"), nullable=False),
    Column("ruleset_digest", String, nullable=False),
    Column("snapshot_ids", sa.JSON, nullable=False),
    Column("inputs", Text, nullable=False),  # canonical JSON
    Column("result", Text, nullable=False),  # canonical JSON, with the trace
    Column("by", String, nullable=False),
    Column("at", String, nullable=False),
    Index("ix_routing_decision_as_of", "as_of"),
)
"""Leads that were routed, each with everything it takes to decide again."""

lint_suppression = Table(
    "lint_suppression",
    metadata,
    Column("id", BIG, primary_key=True, autoincrement=False),
    Column("lint", String, nullable=False),
    Column("subject", String, nullable=False),  # * = every row of the lint
    Column("reason", Text, nullable=False),
    Column("by", String, nullable=False),
    Column("until", String, nullable=False),  # ISO date, the last day
    Column("at", String, nullable=False),
    Column("lifted_at", String),
)
"""Findings that a person muted; kept after they end."""

policy_version = Table(
    "policy_version",
    metadata,
    Column("policy", String, primary_key=True),  # file name without its ending, or segments/<segment id>
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", String, primary_key=True),  # sha256 of the content
    Column("content", Text, nullable=False),  # canonical JSON
    Column("by", String, nullable=False),
    Column("at", String, nullable=False),  # first seen
)
"""Every version of a policy that a plan was made with. Two digests of one version: somebody forgot to count up."""
