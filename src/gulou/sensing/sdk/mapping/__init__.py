"""Payload mappings: somebody else's bytes to readings, declared in YAML; the format is in ``README.md`` here."""

from gulou.sensing.sdk.mapping.mapping import KEPT_RAW_BYTES, Mapping
from gulou.sensing.sdk.mapping.numbers import number_reader
from gulou.sensing.sdk.mapping.records import Item, ReadContext
from gulou.sensing.sdk.mapping.registry import FILE_PATTERN, MappingRegistry
from gulou.sensing.sdk.mapping.times import local_to_us, number_to_us, text_to_us

__all__ = [
    "FILE_PATTERN",
    "KEPT_RAW_BYTES",
    "Item",
    "Mapping",
    "MappingRegistry",
    "ReadContext",
    "local_to_us",
    "number_reader",
    "number_to_us",
    "text_to_us",
]
