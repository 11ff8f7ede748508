"""Schemas of vocabulary, entities, the map, history and rules."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from gulou.api.schemas.shape import Entry, Instant, Page, Texts, View

NormalizedEntity = dict[str, Any]
"""An NGSI-LD entity, normalized or keyValues; its shape is the vocabulary's."""


class PropertyView(View):
    """One property of an entity type."""

    name: str
    label: Texts
    kind: str = Field(description="measured, state, relation, geo, text or enum")
    data_type: str = Field(default="number", description="number, boolean, text, …")
    unit: str | None = Field(default=None, description="UCUM code")
    minimum: float | None = None
    maximum: float | None = None
    decimals: int | None = None
    values: dict[str, Texts] = Field(default_factory=dict, description="the allowed values and their names")
    targets: list[str] = Field(default_factory=list, description="types that a relation points to")
    description: Texts = Field(default_factory=dict)


class EntityTypeView(View):
    """An entity type with its properties."""

    name: str
    label: Texts
    description: Texts = Field(default_factory=dict)
    icon: str | None = None
    main: str | None = Field(default=None, description="the property that tells most, for maps and lists")
    properties: list[PropertyView]


class CodeView(View):
    """One code of a list, in its order."""

    code: str
    label: Texts
    properties: dict[str, Any] = Field(default_factory=dict, description="what the list adds: colour, CAP value, …")


class VocabularyView(View):
    """Every entity type, and the code lists that pages need."""

    types: list[EntityTypeView]
    severities: list[CodeView] = Field(description="from the mildest to the gravest")
    categories: list[CodeView] = Field(description="of emergencies, after the law")
    cap_categories: list[CodeView]
    incident_kinds: list[CodeView]


class EntityPage(Page[NormalizedEntity]):
    """Entities, in the representation asked for."""


class EntityWritten(View):
    """What an upsert did."""

    id: str
    created: bool


class EntityCells(View):
    """The grid cells in which an entity lies, by system and level."""

    id: str
    h3: dict[str, str] = Field(description="resolution → cell")
    beidou: dict[str, str] = Field(description="level → GB/T 39409-2020 code")


class MapFeatures(View):
    """What the map draws, by columns: the n-th item of each list belongs to one entity.

    Args:
        type: index into ``types``.
        state: ``normal``, or the severity of the gravest active warning on the entity.
    """

    types: list[str]
    ids: list[str]
    names: list[str | None]
    lon: list[float]
    lat: list[float]
    type: list[int]
    state: list[str]
    total: int
    truncated: bool = Field(description="more lie in the box than were sent")


class HistoryRow(View):
    """One reading of the past."""

    entity_id: str
    entity_type: str
    property: str
    observed_at: Instant
    value: Any
    unit_code: str | None = None
    dataset_id: str | None = None
    device_id: str | None = None
    flags: list[str] = Field(default_factory=list)
    source: str | None = None


class HistoryBucket(View):
    """One aggregate over one bucket of time."""

    time: str = Field(description="begin of the bucket, RFC 3339 with the offset of the zone asked for")
    value: float | str | None
    count: int
    id: str | None = Field(default=None, description="the entity, with `by=id`")


class SeriesPoint(View):
    """One point of a chart."""

    time: Instant
    value: Any


class EntityHistory(View):
    """A short history of one property of one entity, oldest first."""

    entity_id: str
    property: str
    unit: str | None = None
    points: list[SeriesPoint]
    truncated: bool = False


class RuleView(View):
    """A rule as it runs."""

    id: str = Field(description="`<pack>/<rule>`")
    pack: str
    name: str
    version: str
    kind: str
    entity_type: str
    label: Texts | None = None
    description: Texts | None = None
    category: str = ""
    department: str | None = None
    state: str = Field(default="active", description="active, disabled or quarantined")
    reason: str | None = Field(default=None, description="why it is quarantined")
    file: str | None = None
    source: str | None = Field(default=None, description="its YAML")
    active: int = Field(default=0, description="detections that are raised now")
    watched: int = Field(default=0, description="entities (of a pattern: groups) that it hears")
    counters: dict[str, float] = Field(default_factory=dict)


class RulePage(Page[RuleView]):
    """Rules."""


class RuleTry(Entry):
    """A rule to try on history: either its YAML or the id of one that runs."""

    yaml: str | None = Field(default=None, max_length=262_144)
    id: str | None = Field(default=None, max_length=256)
    from_: Instant = Field(alias="from")
    to: Instant


class RuleFiring(View):
    """What a tried rule would have said."""

    at: Instant
    state: Literal["raised", "changed", "cleared"]
    entity_id: str
    entity_type: str
    severity: str
    headline: Texts
    values: dict[str, Any] = Field(default_factory=dict)


class RuleExplanation(View):
    """What each state of a detection rests on, oldest first."""

    id: str
    states: list[dict[str, Any]]


class RuleFirings(View):
    """The outcome of a trial; nothing was raised in earnest."""

    firings: list[RuleFiring]
    readings: int | None = Field(default=None, description="how many readings were replayed")
    truncated: bool = False
