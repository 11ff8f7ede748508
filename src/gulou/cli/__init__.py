"""The command line: one entry point, and the one place that builds things (``wire.py``)."""

from gulou.cli.app import main

__all__ = ["main"]
