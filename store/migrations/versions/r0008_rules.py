"""The rules of a plan without the data about people, so that a change of rules is told from a change of the roster."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0008"
down_revision = "r0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of plans before it is not known, and nothing counts as changed against them."""
    op.add_column("plan", sa.Column("rules_digest", sa.String(), nullable=True))
