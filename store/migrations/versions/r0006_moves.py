"""What kind of change a write was, so that the limits can be summed over days; what a connection was proven to do."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0006"
down_revision = "r0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; of writes before nothing is known, so they count like any other."""
    op.add_column("journal", sa.Column("states", sa.JSON(), server_default="{}", nullable=False))
    op.create_index("ix_journal_at", "journal", ["at"], unique=False)
    op.add_column("connection", sa.Column("capabilities", sa.JSON(), server_default="{}", nullable=False))
