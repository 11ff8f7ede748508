"""All that an adapter may import: what it is given, what it must be, formats, mappings, counters and the contract test.

``contract`` and ``scaffold`` are modules of their own, because only tests and ``gulou new adapter`` need them.
"""

from gulou.sensing.sdk.adapter import Adapter, AdapterContext, Health
from gulou.sensing.sdk.counters import Counters, CounterValues
from gulou.sensing.sdk.discovery import FoundAdapter, find_adapters, load_adapter, section_of
from gulou.sensing.sdk.manifest import Manifest, load_manifest
from gulou.sensing.sdk.mapping import Mapping, MappingRegistry, ReadContext
from gulou.sensing.sdk.native import Content, DeviceFormat, payload_of, read_program_point, read_row
from gulou.sensing.sdk.ports import CommandDesk, CredentialCheck, DeviceDirectory, Program, TokenCheck
from gulou.sensing.sdk.topics import TopicPattern, is_filter, is_topic, matches

__all__ = [
    "Adapter",
    "AdapterContext",
    "CommandDesk",
    "Content",
    "CounterValues",
    "Counters",
    "CredentialCheck",
    "DeviceDirectory",
    "DeviceFormat",
    "FoundAdapter",
    "Health",
    "Manifest",
    "Mapping",
    "MappingRegistry",
    "Program",
    "ReadContext",
    "TokenCheck",
    "TopicPattern",
    "find_adapters",
    "is_filter",
    "is_topic",
    "load_adapter",
    "load_manifest",
    "matches",
    "payload_of",
    "read_program_point",
    "read_row",
    "section_of",
]
