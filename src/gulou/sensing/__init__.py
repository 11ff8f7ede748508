"""Sensing: observations up, commands down. Adapters speak protocols, mappings make readings, loading takes files.

``sdk`` is all that an adapter may import; ``adapters/<name>`` is one protocol each; ``loading`` takes files and reads
rejects again; ``simulation`` is a city to try it all on.
"""

__all__: list[str] = []
