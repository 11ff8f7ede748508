"""Rules keep lanes of series, and which of them are put aside

Revision: 0002, after 0001.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rule_lanes",
        sa.Column("block", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("lanes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("block", "sequence", name=op.f("pk_rule_lanes")),
    )
    op.create_table(
        "rule_quarantines",
        sa.Column("rule_id", sa.String(length=160), nullable=False),
        sa.Column("state_version", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=500), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("rule_id", name=op.f("pk_rule_quarantines")),
    )


def downgrade() -> None:
    op.drop_table("rule_quarantines")
    op.drop_table("rule_lanes")
