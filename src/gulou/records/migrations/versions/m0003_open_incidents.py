"""Find open incidents by entity and by place

Revision: 0003, after 0002.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
_OPEN = "state != 'closed'"


def upgrade() -> None:
    for name, columns in (
        ("ix_incidents_open_about", ["entity_id", "kind"]),
        ("ix_incidents_open_near", ["kind", "latitude"]),
    ):
        op.create_index(name, "incidents", columns, sqlite_where=sa.text(_OPEN), postgresql_where=sa.text(_OPEN))


def downgrade() -> None:
    op.drop_index("ix_incidents_open_near", table_name="incidents")
    op.drop_index("ix_incidents_open_about", table_name="incidents")
