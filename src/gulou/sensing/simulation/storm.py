"""The scenario: when it rains, and how hard."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gulou.sensing.simulation.settings import SimulationSettings

_RISE_S = 8.0
_FADE_S = 30.0


@dataclass
class StormScript:
    """Rain over the city as a function of the time since the start; a storm can also be called at any moment.

    Args:
        first_at_s: start of the first storm; infinity for none.
        lasts_s: length of a storm, its fading included.
        every_s: from one start to the next; 0 for a single storm.
        peak_mm_h: rain at its height.
    """

    first_at_s: float
    lasts_s: float
    every_s: float
    peak_mm_h: float
    called_at_s: float = math.inf

    @classmethod
    def from_settings(cls, settings: SimulationSettings) -> StormScript:
        """Return the script that the settings describe."""
        first = {"scheduled": settings.storm_after_s, "now": 0.0, "never": math.inf}[settings.storm]
        return cls(first, settings.storm_lasts_s, settings.storm_every_s, settings.storm_peak_mm_h)

    def call(self, now_s: float) -> None:
        """Let a storm begin now, beside those of the schedule."""
        self.called_at_s = now_s

    def intensity_mm_h(self, now_s: float) -> float:
        """Return the rain at a moment, millimetres per hour."""
        since = now_s - self.first_at_s
        if since >= 0 and self.every_s > 0:
            since %= self.every_s
        return self.peak_mm_h * max(self._share(since), self._share(now_s - self.called_at_s))

    def _share(self, since_s: float) -> float:
        """Return the share of the peak: a short rise, a plateau, a slower fading."""
        if not 0 <= since_s < self.lasts_s:
            return 0.0
        return min(1.0, since_s / _RISE_S, (self.lasts_s - since_s) / _FADE_S)
