"""The vocabulary: entity types, their properties with units and ranges, and the code lists of the city.

``Vocabulary.load()`` reads the built-in types; packs add theirs with ``extend``. ``Vocabulary.check`` is what the
intake asks for each reading. Types for programs are in ``gulou.vocabulary.generated``.
"""

from gulou.vocabulary.code_lists import (
    Code,
    CodeList,
    Region,
    RegionList,
    load_code_lists,
    normal_region_code,
    severities,
)
from gulou.vocabulary.model import DataType, EntityType, Kind, PropertyType
from gulou.vocabulary.vocabulary import Vocabulary, read_directory

__all__ = [
    "Code",
    "CodeList",
    "DataType",
    "EntityType",
    "Kind",
    "PropertyType",
    "Region",
    "RegionList",
    "Vocabulary",
    "load_code_lists",
    "normal_region_code",
    "read_directory",
    "severities",
]
