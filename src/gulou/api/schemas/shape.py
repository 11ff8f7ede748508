"""Shapes that every schema shares: instants, texts by language, pages, problems."""

from __future__ import annotations

from typing import Annotated, Any, Generic, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Instant = Annotated[AwareDatetime, Field(description="RFC 3339, UTC when sent by the server")]
Texts = Annotated[dict[str, str], Field(description="text by language, `en` and `zh`")]
Geometry = Annotated[dict[str, Any], Field(description="GeoJSON geometry, lon, lat in EPSG:4326")]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Identifier = Annotated[str, Field(min_length=1, max_length=256)]
Note = Annotated[str, Field(max_length=4000)]

T = TypeVar("T")


class View(BaseModel):
    """What the server sends; unknown fields of the source are left out."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        from_attributes=True,
        ser_json_inf_nan="null",
        json_schema_serialization_defaults_required=True,
    )


class Entry(BaseModel):
    """What a client sends; an unknown field is an error, so that a typing mistake is never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Page(View, Generic[T]):
    """One page of a list.

    Args:
        total: how many there are in all with these filters; None where counting would be slow.
        next: cursor of the next page; None on the last.
    """

    items: list[T]
    total: int | None = None
    next: str | None = None


class FieldProblem(View):
    """What is wrong with one field of a request."""

    where: str = Field(description="path of the field: `body.bindings.0.entity_id`, `query.limit`")
    message: str


class Problem(View):
    """An error, after RFC 9457 (`application/problem+json`)."""

    type: str = Field(description="`urn:gulou:problem:<code>`")
    title: str = Field(description="the class of the error, in the caller's language")
    status: int
    code: str = Field(description="stable name of the case: `device.unknown`")
    detail: str = Field(description="one sentence: what, where, and what to do; in the caller's language")
    instance: str | None = Field(default=None, description="path of the request")
    retry: str = Field(default="never", description="`never` or `later`")
    params: dict[str, Any] = Field(default_factory=dict)
    errors: list[FieldProblem] = Field(default_factory=list)
