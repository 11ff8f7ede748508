"""The quick way of bodies: compiled kernels turn the numbers of known series into columns, the rest goes as objects.

See ``README.md`` beside this package's parent.
"""

from gulou.sensing.adapters.http.columns.arrow import Slice
from gulou.sensing.adapters.http.columns.parts import MOST_READINGS, Part, cut_payloads
from gulou.sensing.adapters.http.columns.reader import ColumnReader, Known, TableWay, Way

__all__ = ["MOST_READINGS", "ColumnReader", "Known", "Part", "Slice", "TableWay", "Way", "cut_payloads"]
