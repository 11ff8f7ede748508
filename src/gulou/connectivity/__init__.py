"""Connectivity: the bus, the intake of readings, devices, and commands to them.

Import the packages below, not this one: ``gulou.connectivity.intake`` and its siblings. Among themselves they import in
one direction only: commands → devices, intake → bus.
"""

__all__: list[str] = []
