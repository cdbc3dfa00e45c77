"""Several persons may let one limit through; and what kind of author a plan has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "r0007"
down_revision = "r0006"
branch_labels = None
depends_on = None

_KEY = "pk_guard_acceptance"


def upgrade() -> None:
    """A word by each person; those given before let their limits through. Who made earlier plans stays open."""
    with op.batch_alter_table("guard_acceptance") as table:
        table.drop_constraint(_KEY, type_="primary")
        table.create_primary_key(_KEY, ["plan_digest", "guard", "subject", "by", "by_verified"])
        table.add_column(sa.Column("let_through", sa.Boolean(), server_default=sa.true(), nullable=False))
    op.add_column("plan", sa.Column("author_kind", sa.String(), nullable=True))
