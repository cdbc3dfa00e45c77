"""Routing decisions and what they share."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0002"
down_revision = "r0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create both tables and the counter that numbers decisions."""
    op.create_table(
        "routing_basis",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_routing_basis")),
    )
    op.create_table(
        "routing_decision",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("position", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("lead_id", sa.String(), nullable=False),
        sa.Column("as_of", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("assignee", sa.String(), nullable=True),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("rule_id", sa.String(), nullable=False),
        sa.Column("basis_digest", sa.String(), nullable=False),
        sa.Column("ruleset_digest", sa.String(), nullable=False),
        sa.Column("snapshot_ids", sa.JSON(), nullable=False),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("at", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["basis_digest"], ["routing_basis.digest"], name=op.f("fk_routing_decision_basis_digest_routing_basis")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_routing_decision")),
        sa.UniqueConstraint("position", name=op.f("uq_routing_decision_position")),
    )
    op.create_index("ix_routing_decision_as_of", "routing_decision", ["as_of"], unique=False)
    counter = sa.table("counter", sa.column("name"), sa.column("value"))
    op.execute(counter.insert().values(name="routing", value=0))
