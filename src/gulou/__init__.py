"""Gulou (鼓楼, the Drum Tower): an open city operating platform."""

__version__ = "0.1.0"
