"""``gulou bench``: measures a platform of its own, with its own load generator. For whoever wants to know, and for CI.

``bench_app`` is the command; ``measure_loop`` is behind ``gulou bench loop``.
"""

from gulou.cli.bench.app import bench_app
from gulou.cli.bench.loop import measure_loop
from gulou.cli.bench.model import LoopPlan

__all__ = ["LoopPlan", "bench_app", "measure_loop"]
