"""An adapter's manifest: what it is called, what it speaks, where its code is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from gulou.kernel.documents import Document, broken, nearest
from gulou.kernel.errors import Invalid

FILE_NAME = "manifest.yaml"
_ENTRY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class Manifest(BaseModel):
    """``manifest.yaml`` of an adapter's folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        pattern=r"^[a-z][a-z0-9-]{0,39}$", description="Name: of the folder, the account and the settings."
    )
    version: str = Field(description="Grows with each change of what it makes of bytes; kept with every reject.")
    protocol: str = Field(description="What it speaks, with versions.")
    direction: Literal["up", "down", "both"] = Field(description="Readings up, commands down, or both.")
    description: dict[str, str] = Field(description="By language, en and zh.")
    entry: str = Field(description="module:function that makes it; a module that starts with a dot is in the folder.")
    settings: str | None = Field(default=None, description="module:class of its settings.")
    enabled: bool = Field(default=True, description="Whether it starts where city.toml says nothing.")

    @field_validator("entry", "settings")
    @classmethod
    def _entry(cls, value: str | None) -> str | None:
        if value is not None and _ENTRY.fullmatch(value.removeprefix(".")) is None:
            raise ValueError("write module:name")
        return value

    @property
    def label(self) -> str:
        """Return name and version, as kept with submissions: ``mqtt/1``."""
        return f"{self.name}/{self.version}"


def load_manifest(path: Path) -> Manifest:
    """Read a manifest file.

    Raises:
        Invalid: ``document.broken`` with every problem, or ``adapter.manifest_unreadable``.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid("adapter.manifest_unreadable", file=str(path), detail=str(error)) from None
    document = Document.parse(text, str(path))
    try:
        return Manifest.model_validate(document.data)
    except ValidationError as error:
        problems = []
        for one in error.errors():
            where: tuple[Any, ...] = one["loc"]
            key = ".".join(map(str, where))
            if one["type"] == "extra_forbidden":
                near = nearest(key, Manifest.model_fields) or ", ".join(Manifest.model_fields)
                problems.append(document.problem(where, "mapping.unknown_key", key=key, nearest=near))
            else:
                problems.append(document.problem(where, "mapping.value_wrong", key=key, detail=one["msg"]))
        raise broken(problems) from None
