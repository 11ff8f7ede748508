"""The statements of every warning and every incident, made once: to make one costs more than to run it."""

from __future__ import annotations

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    and_,
    bindparam,
    insert,
    literal_column,
    or_,
    select,
    update,
)

from gulou.operations.incidents.tables import (
    incident_commands,
    incident_timeline,
    incidents,
    warning_commands,
    warning_detections,
    warnings,
)
from gulou.records import Prepared, PreparedList, insert_new

_MOST_NEAR = 100
_BEFORE: BindParameter[int] = bindparam("before")
_WARNING = [one.name for one in warnings.c if one.name != "id"]
_INCIDENT = [one.name for one in incidents.c if one.name != "id"]


def _any_of(column: ColumnElement[str], count: int) -> ColumnElement[bool]:
    return column.in_([bindparam(f"a{number}") for number in range(count)])


def _standing(count: int) -> Select[tuple[object]]:
    pairs = (
        and_(
            warnings.c.rule_id == bindparam(f"a{number}"),
            warnings.c.entity_id == bindparam(f"b{number}"),
            warnings.c.state == literal_column("'active'"),
        )
        for number in range(count)
    )
    return select(warnings.c.body).where(or_(*pairs)).with_for_update()


STANDING = PreparedList(_standing)
SEEN = PreparedList(lambda count: select(warning_detections.c.key).where(_any_of(warning_detections.c.key, count)))
OF_COMMANDS = PreparedList(
    lambda count: (
        select(warning_commands.c.command_id, warnings.c.body)
        .join(warning_commands, warning_commands.c.warning_id == warnings.c.id)
        .where(_any_of(warning_commands.c.command_id, count))
        .with_for_update(of=warnings)
    )
)
NEW_WARNING = Prepared(lambda _: insert(warnings), ["id", *_WARNING])
NEXT_WARNING = Prepared(
    lambda _: update(warnings).where(warnings.c.id == bindparam("which"), warnings.c.version == _BEFORE), _WARNING
)
NEW_WARNING_COMMAND = Prepared(
    lambda dialect: insert_new(dialect, warning_commands), [one.name for one in warning_commands.c]
)
NEW_DETECTION = Prepared(lambda _: insert(warning_detections), [one.name for one in warning_detections.c])

TOLD = PreparedList(lambda count: select(incident_commands.c.key).where(_any_of(incident_commands.c.key, count)))
NEW_TOLD = Prepared(lambda _: insert(incident_commands), [one.name for one in incident_commands.c])

INCIDENTS = PreparedList(
    lambda count: (
        select(incidents.c.body, incidents.c.timeline_length, incidents.c.press_at_us)
        .where(_any_of(incidents.c.id, count))
        .with_for_update()
    )
)
NEW_INCIDENT = Prepared(lambda _: insert(incidents), ["id", *_INCIDENT])
NEXT_INCIDENT = Prepared(
    lambda _: update(incidents).where(incidents.c.id == bindparam("which"), incidents.c.version == _BEFORE), _INCIDENT
)
NEW_LINE = Prepared(lambda _: insert(incident_timeline), [one.name for one in incident_timeline.c])

_PLACES = (
    select(incidents.c.id, incidents.c.entity_id, incidents.c.longitude, incidents.c.latitude, incidents.c.opened_at_us)
    .where(
        incidents.c.state != literal_column("'closed'"),  # as the indexes say it
        incidents.c.kind == bindparam("kind"),
        incidents.c.opened_at_us >= bindparam("since_us"),
    )
    .order_by(incidents.c.opened_at_us.desc())
    .limit(_MOST_NEAR)
)
OPEN_ABOUT = Prepared(lambda _: _PLACES.where(incidents.c.entity_id == bindparam("entity")))
OPEN_NEAR = Prepared(
    lambda _: _PLACES.where(
        incidents.c.latitude.between(bindparam("south"), bindparam("north")),
        incidents.c.longitude.between(bindparam("west"), bindparam("east")),
    )
)
