"""What a sender's names mean: which series, and how its numbers become the property's own unit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gulou.connectivity.intake import Reading, SeriesCatalogue
from gulou.kernel.errors import GulouError
from gulou.kernel.ids import is_entity_id
from gulou.kernel.units import conversion
from gulou.sensing.adapters.http.columns.trie import GENERAL
from gulou.sensing.sdk import Program
from gulou.vocabulary import PropertyType, Vocabulary

_FIRST = 1_024


class Routes:
    """Numbers routes and keeps, in arrays by route, what a batch needs. Whoever asks holds the owner's lock.

    Attributes:
        series: int32, numbers of the catalogue.
        factor, offset: float64, value in the property's unit = value · factor + offset.
        converted: bool, whether that is to be applied at all (a product with 1 would make 0.0 of -0.0).
        kind: int32, index into ``types``.
    """

    def __init__(self, catalogue: SeriesCatalogue, vocabulary: Vocabulary) -> None:
        self._catalogue = catalogue
        self._vocabulary = vocabulary
        self.clear()

    def clear(self) -> None:
        """Forget everything, and take up the vocabulary as it is now."""
        self._known_types = self._vocabulary.types
        self._routes: dict[tuple[str, str, str, str | None, str | None], int] = {}
        self.types: list[str] = []
        self._count = 0
        self.series: NDArray[np.int32] = np.zeros(_FIRST, np.int32)
        self.factor: NDArray[np.float64] = np.ones(_FIRST)
        self.offset: NDArray[np.float64] = np.zeros(_FIRST)
        self.converted: NDArray[np.bool_] = np.zeros(_FIRST, np.bool_)
        self.kind: NDArray[np.int32] = np.zeros(_FIRST, np.int32)

    @property
    def is_stale(self) -> bool:
        """True when the vocabulary has changed since."""
        return self._known_types is not self._vocabulary.types

    def route_of(self, reading: Reading, program: Program | None) -> int | None:
        """Return the route of readings like this one, whatever their value and time.

        Args:
            program: who sends it; None: the device that the reading names.

        Returns:
            A route, ``GENERAL``, or None for what must be asked again each time: a type or property that the
            vocabulary does not know, a unit that does not fit, a type that this program may not write.
        """
        key = (reading.entity_id, reading.entity_type, reading.property, reading.unit_code, reading.device_id)
        if program is not None and not program.may("intake.write", None, reading.entity_type):
            return None
        known = self._routes.get(key)
        if known is None:
            known = self._find(reading)
            if known is not None:
                self._routes[key] = known
        return known

    def _find(self, reading: Reading) -> int | None:
        kind = self._known_types.get(reading.entity_type)
        item = None if kind is None else kind.properties.get(reading.property)
        if item is None or reading.dataset_id is not None:
            return None
        if not is_number(item) or not is_entity_id(reading.entity_id):
            return GENERAL
        factor, offset = 1.0, 0.0
        if reading.unit_code is not None and reading.unit_code != item.unit:
            try:
                found = conversion(reading.unit_code, item.unit or "1")
            except GulouError:
                return None
            factor, offset = found.factor, found.offset
        number = self._catalogue.number_of(reading.entity_id, reading.entity_type, reading.property, reading.device_id)
        series = self._catalogue.get(number)
        if series.device_id != reading.device_id or series.entity_type != reading.entity_type:
            return GENERAL
        return self._add(number, factor, offset, reading.entity_type)

    def _add(self, number: int, factor: float, offset: float, entity_type: str) -> int:
        route = self._count
        if route == len(self.series):
            for name in ("series", "factor", "offset", "converted", "kind"):
                old = getattr(self, name)
                setattr(self, name, np.concatenate([old, np.zeros_like(old)]))
        if entity_type not in self.types:
            self.types.append(entity_type)
        self.series[route] = number
        self.factor[route], self.offset[route] = factor, offset
        self.converted[route] = factor != 1.0 or offset != 0.0
        self.kind[route] = self.types.index(entity_type)
        self._count += 1
        return route


def is_number(item: PropertyType) -> bool:
    """Tell whether every value of a property is one plain number, so that the vocabulary's check keeps it a float."""
    return item.kind not in ("relation", "geo") and not item.values and item.data_type == "number"
