"""The quick way for the many: numbers go from the socket to columns in a compiled kernel; all else the general way.

Both ways have the same outcome: the same readings and rejects, the same acknowledgements in the same order.
"""

from gulou.sensing.adapters.mqtt.endpoint.fast.carrier import Carrier
from gulou.sensing.adapters.mqtt.endpoint.fast.gatherer import Gatherer
from gulou.sensing.adapters.mqtt.endpoint.fast.lane import Lane, Line
from gulou.sensing.adapters.mqtt.endpoint.fast.routes import Routes

__all__ = ["Carrier", "Gatherer", "Lane", "Line", "Routes"]
