"""Who sends how much: a consumer of the log that counts, for the operations page. Nothing here is durable."""

from gulou.connectivity.traffic.meter import DeviceTraffic, TrafficMeter

__all__ = ["DeviceTraffic", "TrafficMeter"]
