"""The files of a plan's ruleset, each with its digest, so that a refusal can name the file that changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0009"
down_revision = "r0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; of plans before it is only known that something changed, not where."""
    op.add_column("plan", sa.Column("rule_files", sa.JSON(none_as_null=True), nullable=True))
