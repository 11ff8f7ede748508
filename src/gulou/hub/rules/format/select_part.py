"""Reads ``select:``, and the selections of a pattern's steps."""

from __future__ import annotations

import fnmatch
import re

from gulou.hub.rules.format.names import NameBook
from gulou.hub.rules.format.source import Source
from gulou.hub.rules.model import Selection
from gulou.kernel.documents import Path, nearest

SELECT_KEYS = ("type", "id", "where")
WILD = re.compile(r"[*?\[]")


def read_selection(source: Source, raw: object, path: Path, book: NameBook) -> Selection | None:
    """Read which entities a rule is about; complains and returns None where the type is missing or unknown."""
    data = source.mapping(raw, path)
    source.known_keys(data, SELECT_KEYS, path)
    entity_type = source.text(source.need(data, "type", path), (*path, "type"))
    if entity_type is None:
        return None
    if not book.has_type(entity_type):
        near = nearest(entity_type, book.type_names) or "-"
        source.complain((*path, "type"), "rules.type_unknown", type=entity_type, nearest=near)
        return None
    where = source.expression(data.get("where"), (*path, "where"), book.attributes(entity_type), "bool")
    name = source.text(data.get("id"), (*path, "id"))
    if name is None:
        return Selection(entity_type, where=where)
    if not WILD.search(name):
        return Selection(entity_type, exact_id=name, where=where)
    return Selection(entity_type, id_pattern=re.compile(fnmatch.translate(name)), where=where)
