"""Texts for people, in English and Chinese, by stable code; one ``<area>.yaml`` per area of codes.

``render`` is what edges call. ``codes_in_source`` and ``find_gaps`` let a structure test prove that no code is raised
anywhere in the product without a text.
"""

from gulou.kernel.messages.catalogue import LANGUAGES, Catalogue, load_catalogue, misplaced_codes, render
from gulou.kernel.messages.scan import Gap, RaisedCode, codes_in_source, find_gaps

__all__ = [
    "LANGUAGES",
    "Catalogue",
    "Gap",
    "RaisedCode",
    "codes_in_source",
    "find_gaps",
    "load_catalogue",
    "misplaced_codes",
    "render",
]
