"""Read the rules' detections in the order in which they were found

Revision: 0004, after 0003.
"""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_rule_detections_number", "rule_detections", ["number"])


def downgrade() -> None:
    op.drop_index("ix_rule_detections_number", table_name="rule_detections")
