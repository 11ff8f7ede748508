# fmt: off
# ruff: noqa: E501, N815
"""The built-in entity types for programs. Generated from ``types/*.yaml``; edit these and run the generator.

Over 600 lines because each property of each type has its line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

__all__ = [
    "AirQualityObserved",
    "AirQualityObservedProperty",
    "Alert",
    "AlertProperty",
    "Camera",
    "CameraProperty",
    "CrowdFlowObserved",
    "CrowdFlowObservedProperty",
    "Device",
    "DeviceProperty",
    "District",
    "DistrictProperty",
    "EnergyMeter",
    "EnergyMeterProperty",
    "EntityTypeName",
    "Gate",
    "GateProperty",
    "NoiseLevelObserved",
    "NoiseLevelObservedProperty",
    "OffStreetParking",
    "OffStreetParkingProperty",
    "Pump",
    "PumpProperty",
    "River",
    "RiverProperty",
    "Road",
    "RoadProperty",
    "Streetlight",
    "StreetlightProperty",
    "TrafficFlowObserved",
    "TrafficFlowObservedProperty",
    "Vehicle",
    "VehicleProperty",
    "WasteContainer",
    "WasteContainerProperty",
    "WaterLevelObserved",
    "WaterLevelObservedProperty",
    "WaterMeter",
    "WaterMeterProperty",
    "WeatherObserved",
    "WeatherObservedProperty",
]

EntityTypeName = Literal[
    "AirQualityObserved",
    "Alert",
    "Camera",
    "CrowdFlowObserved",
    "Device",
    "District",
    "EnergyMeter",
    "Gate",
    "NoiseLevelObserved",
    "OffStreetParking",
    "Pump",
    "River",
    "Road",
    "Streetlight",
    "TrafficFlowObserved",
    "Vehicle",
    "WasteContainer",
    "WaterLevelObserved",
    "WaterMeter",
    "WeatherObserved",
]
AirQualityObservedProperty = Literal[
    "pm25",
    "pm10",
    "no2",
    "so2",
    "co",
    "o3",
    "no",
    "nox",
    "nh3",
    "h2s",
    "c6h6",
    "volatileOrganicCompoundsTotal",
    "co2",
    "airQualityIndex",
    "airQualityLevel",
    "primaryPollutant",
    "stationCode",
    "stationName",
    "temperature",
    "relativeHumidity",
    "dewPoint",
    "atmosphericPressure",
    "precipitation",
    "windSpeed",
    "windDirection",
    "name",
    "alternateName",
    "description",
    "location",
    "address",
    "areaServed",
    "category",
    "dateObserved",
    "dateObservedFrom",
    "dateObservedTo",
    "refDevice",
    "refDistrict",
    "refPointOfInterest",
    "department",
    "dataProvider",
    "source",
    "owner",
    "seeAlso",
    "reliability",
]
AlertProperty = Literal[
    "category",
    "subCategory",
    "severity",
    "warningColour",
    "dateIssued",
    "validFrom",
    "validTo",
    "alertSource",
    "data",
    "status",
    "refEntity",
    "name",
    "alternateName",
    "description",
    "location",
    "address",
    "areaServed",
    "dateObserved",
    "dateObservedFrom",
    "dateObservedTo",
    "refDevice",
    "refDistrict",
    "refPointOfInterest",
    "department",
    "dataProvider",
    "source",
    "owner",
    "seeAlso",
    "reliability",
]
CameraProperty = Literal[
    "status",
    "powerState",
    "recording",
    "cameraType",
    "vehicleCount",
    "peopleCount",
    "waterDepth",
    "visibility",
    "pan",
    "tilt",
    "zoom",
    "azimuth",
    "streamURL",
    "purpose",
    "refRoad",
    "name",
    "alternateName",
    "description",
    "location",
    "address",
    "areaServed",
    "category",
    "dateObserved",
    "dateObservedFrom",
    "dateObservedTo",
    "refDevice",
    "refDistrict",
    "refPointOfInterest",
    "department",
    "dataProvider",
    "source",
    "owner",
    "seeAlso",
    "reliability",
]
CrowdFlowObservedProperty = Literal[
    "peopleCount",
    "entryCount",
    "exitCount",
    "occupancy",
    "crowdDensity",
    "averageCrowdSpeed",
    "averageHeadwayTime",
    "congested",
    "direction",
    "capacity",
    "name",
    "alternateName",
    "description",
    "location",
    "address",
    "areaServed",
    "category",
    "dateObserved",
    "dateObservedFrom",
    "dateObservedTo",
    "refDevice",
    "refDistrict",
    "refPointOfInterest",
    "department",
    "dataProvider",
    "source",
    "owner",
    "seeAlso",
    "reliability",
]
DeviceProperty = Literal[
    "deviceState",
    "batteryLevel",
    "rssi",
    "uptime",
    "internalTemperature",
    "supplyVoltage",
    "serialNumber",
    "hardwareVersion",
    "softwareVersion",
    "firmwareVersion",
    "deviceModel",
    "manufacturer",
    "controlledProperty",
    "controlledAsset",
    "ipAddress",
    "macAddress",
    "supportedProtocol",
    "dateInstalled",
    "dateFirstUsed",
    "dateLastCalibration",
    "dateLastValueReported",
    "refDeviceModel",
    "refGateway",
    "name",
    "alternateName",
    "description",
    "location",
    "address",
    "areaServed",
    "category",
    "dateObserved",
    "dateObservedFrom",
    "dateObservedTo",
    "refDevice",
    "refDistrict",
    "refPointOfInterest",
    "department",
    "dataProvider",
    "source",
    "owner",
    "seeAlso",
    "reliability",
]
DistrictProperty = Literal[
    "population",
    "area",
    "households",
    "regionCode",
    "refParent",
    "emergencyResponse",
    "name",
    "alternateName",
    "description",
    "location",
    "address",
    "areaServed",
    "category",
    "dateObserved",
    "dateObservedFrom",
    "dateObservedTo",
    "refDevice",
    "refDistrict",
    "refPointOfInterest",
    "department",
    "dataProvider",
    "source",
    "owner",
    "seeAlso",
    "reliability",
]
EnergyMeterProperty = Literal[
    "activePower",
    "reactivePower",
    "apparentPower",
    "activeEnergyImport",
    "activeEnergyExport",
    "reactiveEnergyImport",
    "voltage",
    "current",
    "frequency",
    "powerFactor",
    "oilTemperature",
    "maximumDemand",
    "switchState",
    "phaseType",
    "serialNumber",
    "consumerKind",
    "name",
    "alternateName",
    "description",
    "location",
    "address",
    "areaServed",
    "category",
    "dateObserved",
    "dateObservedFrom",
    "dateObservedTo",
    "refDevice",
    "refDistrict",
    "refPointOfInterest",
    "department",
    "dataProvider",
    "source",
    "owner",
    "seeAlso",
    "reliability",
]
GateProperty = Literal[
    "gateState",
    "openingLevel",
    "openingHeight",
    "status",
    "upstreamLevel",
    "downstreamLevel",
    "flowRate",
    "current",
    "controls",
    "dischargesInto",
    "refRiver",
    "name",
    "alternateName",
    "description",
    "location",
    "address",
    "areaServed",
    "category",
    "dateObserved",
    "dateObservedFrom",
    "dateObservedTo",
    "refDevice",
    "refDistrict",
    "refPointOfInterest",
    "department",
    "dataProvider",
    "source",
    "owner",
    "seeAlso",
    "reliability",
]
NoiseLevelObservedProperty = Literal[
    "LAeq",
    "LAmax",
    "LAmin",
    "LAS",
    "LAeq_d",
    "LAeq_n",
    "LA10",
    "LA90",
    "functionalArea",
    "frequencies",
    "name",
    "alternateName",
    "description",
    "location",
    "address",
    "areaServed",
    "category",
    "dateObserved",
    "dateObservedFrom",
    "dateObservedTo",
    "refDevice",
    "refDistrict",
    "refPointOfInterest",
    "department",
    "dataProvider",
    "source",
    "owner",
    "seeAlso",
    "reliability",
]
OffStreetParkingProperty = Literal[
    "availableSpotNumber",
    "occupiedSpotNumber",
    "occupancy",
    "entryCount",
    "exitCount",
    "totalSpotNumber",
    "extraSpotNumber",
    "status",
    "layout",
    "allowedVehicleType",
    "chargeType",
    "requiredPermit",
    "maximumParkingDuration",
    "firstAvailableFloor",
    "name",
    "alternateName",
    "description",
    "location",
    "address",
    "areaServed",
    "category",
    "dateObserved",
    "dateObservedFrom",
    "dateObservedTo",
    "refDevice",
    "refDistrict",
    "refPointOfInterest",
    "department",
    "dataProvider",
    "source",
    "owner",
    "seeAlso",
    "reliability",
]
PumpProperty = Literal[
    "powerState",
    "status",
    "flowRate",
    "activePower",
    "pressure",
    "current",
    "energyConsumed",
    "runningTime",
    "ratedFlow",
    "ratedPower",
    "startLevel",
    "stopLevel",
    "drains",
    "dischargesInto",
    "refPumpStation",
    "name",
    "alternateName",
    "description",
    "location",
    "address",
    "areaServed",
    "category",
    "dateObserved",
    "dateObservedFrom",
    "dateObservedTo",
    "refDevice",
    "refDistrict",
    "refPointOfInterest",
    "department",
    "dataProvider",
    "source",
    "owner",
    "seeAlso",
    "reliability",
]
RiverProperty = Literal[
    "waterLevel",
    "flowRate",
    "length",
    "width",
    "catchmentArea",
    "warningLevel",
    "guaranteedLevel",
    "bankLevel",
    "riverCode",
    "riverChief",
    "flowsInto",
    "name",
    "alternateName",
    "description",
    "location",
    "address",
    "areaServed",
    "category",
    "dateObserved",
    "dateObservedFrom",
    "dateObservedTo",
    "refDevice",
    "refDistrict",
    "refPointOfInterest",
    "department",
    "dataProvider",
    "source",
    "owner",
    "seeAlso",
    "reliability",
]
RoadProperty = Literal[
    "roadClass",
    "status",
    "waterDepth",
    "surfaceTemperature",
    "averageVehicleSpeed",
    "congestionIndex",
    "length",
    "totalLaneNumber",
    "maximumAllowedSpeed",
    "elevation",
    "capacity",
    "responsible",
    "refRoadSegment",
    "connectsTo",
    "name",
    "alternateName",
    "description",
    "location",
    "address",
    "areaServed",
    "category",
    "dateObserved",
    "dateObservedFrom",
    "dateObservedTo",
    "refDevice",
    "refDistrict",
    "refPointOfInterest",
    "department",
    "dataProvider",
    "source",
    "owner",
    "seeAlso",
    "reliability",
]
StreetlightProperty = Literal[
    "powerState",
    "status",
    "illuminanceLevel",
    "activePower",
    "energyConsumed",
    "illuminance",
    "voltage",
    "lanternHeight",
    "circuit",
    "controllingMethod",
    "locationCategory",
    "dateLastLampChange",
    "dateLastSwitchingOn",
    "dateLastSwitchingOff",
    "refRoad",
    "refStreetlightGroup",
    "refStreetlightControlCabinet",
    "name",
    "alternateName",
    "description",
    "location",
    "address",
    "areaServed",
    "category",
    "dateObserved",
    "dateObservedFrom",
    "dateObservedTo",
    "refDevice",
    "refDistrict",
    "refPointOfInterest",
    "department",
    "dataProvider",
    "source",
    "owner",
    "seeAlso",
    "reliability",
]
TrafficFlowObservedProperty = Literal[
    "intensity",
    "flowRate",
    "averageVehicleSpeed",
    "freeFlowSpeed",
    "occupancy",
    "congestionIndex",
    "averageHeadwayTime",
    "averageGapDistance",
    "averageVehicleLength",
    "travelTime",
    "medianTravelTime",
    "queueLength",
    "congested",
    "reversedLane",
    "laneId",
    "laneDirection",
    "vehicleType",
    "detectorStatus",
    "length",
    "refRoad",
    "refRoadSegment",
    "name",
    "alternateName",
    "description",
    "location",
    "address",
    "areaServed",
    "category",
    "dateObserved",
    "dateObservedFrom",
    "dateObservedTo",
    "refDevice",
    "refDistrict",
    "refPointOfInterest",
    "department",
    "dataProvider",
    "source",
    "owner",
    "seeAlso",
    "reliability",
]
VehicleProperty = Literal[
    "speed",
    "heading",
    "mileageFromOdometer",
    "fuelLevel",
    "passengerCount",
    "cargoWeight",
    "altitude",
    "vehicleType",
    "serviceStatus",
    "ignitionStatus",
    "vehiclePlateIdentifier",
    "fleetVehicleId",
    "serviceProvided",
    "previousLocation",
    "refRoad",
    "name",
    "alternateName",
    "description",
    "location",
    "address",
    "areaServed",
    "category",
    "dateObserved",
    "dateObservedFrom",
    "dateObservedTo",
    "refDevice",
    "refDistrict",
    "refPointOfInterest",
    "department",
    "dataProvider",
    "source",
    "owner",
    "seeAlso",
    "reliability",
]
WasteContainerProperty = Literal[
    "fillingLevel",
    "cargoWeight",
    "temperature",
    "methaneConcentration",
    "status",
    "storedWasteKind",
    "capacity",
    "dateLastEmptying",
    "nextActuationDeadline",
    "serialNumber",
    "batteryLevel",
    "name",
    "alternateName",
    "description",
    "location",
    "address",
    "areaServed",
    "category",
    "dateObserved",
    "dateObservedFrom",
    "dateObservedTo",
    "refDevice",
    "refDistrict",
    "refPointOfInterest",
    "department",
    "dataProvider",
    "source",
    "owner",
    "seeAlso",
    "reliability",
]
WaterLevelObservedProperty = Literal[
    "waterLevel",
    "waterDepth",
    "flowRate",
    "flowVelocity",
    "waterTemperature",
    "levelChange",
    "precipitation",
    "siteCategory",
    "warningLevel",
    "guaranteedLevel",
    "normalLevel",
    "bankLevel",
    "gaugeZero",
    "refRiver",
    "refRoad",
    "flowsInto",
    "stationCode",
    "name",
    "alternateName",
    "description",
    "location",
    "address",
    "areaServed",
    "category",
    "dateObserved",
    "dateObservedFrom",
    "dateObservedTo",
    "refDevice",
    "refDistrict",
    "refPointOfInterest",
    "department",
    "dataProvider",
    "source",
    "owner",
    "seeAlso",
    "reliability",
]
WaterMeterProperty = Literal[
    "waterConsumption",
    "flowRate",
    "pressure",
    "temperature",
    "leakDetected",
    "flowReversed",
    "valveState",
    "status",
    "batteryLevel",
    "serialNumber",
    "diameter",
    "consumerKind",
    "name",
    "alternateName",
    "description",
    "location",
    "address",
    "areaServed",
    "category",
    "dateObserved",
    "dateObservedFrom",
    "dateObservedTo",
    "refDevice",
    "refDistrict",
    "refPointOfInterest",
    "department",
    "dataProvider",
    "source",
    "owner",
    "seeAlso",
    "reliability",
]
WeatherObservedProperty = Literal[
    "temperature",
    "relativeHumidity",
    "dewPoint",
    "atmosphericPressure",
    "precipitation",
    "windSpeed",
    "windDirection",
    "precipitationIntensity",
    "gustSpeed",
    "feelsLikeTemperature",
    "visibility",
    "solarRadiation",
    "illuminance",
    "snowHeight",
    "uvIndex",
    "cloudiness",
    "streamGauge",
    "pressureTendency",
    "weatherType",
    "stationCode",
    "stationName",
    "name",
    "alternateName",
    "description",
    "location",
    "address",
    "areaServed",
    "category",
    "dateObserved",
    "dateObservedFrom",
    "dateObservedTo",
    "refDevice",
    "refDistrict",
    "refPointOfInterest",
    "department",
    "dataProvider",
    "source",
    "owner",
    "seeAlso",
    "reliability",
]

@dataclass(frozen=True, kw_only=True)
class AirQualityObserved:
    """Pollutants in the outside air at one place. Numbers are in the units beside them (UCUM)."""

    id: str
    pm25: float | None = None  # ug/m3
    pm10: float | None = None  # ug/m3
    no2: float | None = None  # ug/m3
    so2: float | None = None  # ug/m3
    co: float | None = None  # mg/m3
    o3: float | None = None  # ug/m3
    no: float | None = None  # ug/m3
    nox: float | None = None  # ug/m3
    nh3: float | None = None  # ug/m3
    h2s: float | None = None  # ug/m3
    c6h6: float | None = None  # ug/m3
    volatileOrganicCompoundsTotal: float | None = None  # ug/m3
    co2: float | None = None  # [ppm]
    airQualityIndex: float | None = None  # 1
    airQualityLevel: Literal["excellent", "good", "lightlyPolluted", "moderatelyPolluted", "heavilyPolluted", "severelyPolluted"] | None = None
    primaryPollutant: str | dict[str, str] | None = None
    stationCode: str | dict[str, str] | None = None
    stationName: str | dict[str, str] | None = None
    temperature: float | None = None  # Cel
    relativeHumidity: float | None = None  # 1
    dewPoint: float | None = None  # Cel
    atmosphericPressure: float | None = None  # hPa
    precipitation: float | None = None  # mm
    windSpeed: float | None = None  # m/s
    windDirection: float | None = None  # deg
    name: str | dict[str, str] | None = None
    alternateName: str | dict[str, str] | None = None
    description: str | dict[str, str] | None = None
    location: dict[str, Any] | None = None
    address: Any | None = None
    areaServed: str | dict[str, str] | None = None
    category: Any | None = None
    dateObserved: Any | None = None
    dateObservedFrom: str | None = None
    dateObservedTo: str | None = None
    refDevice: str | list[str] | None = None
    refDistrict: str | list[str] | None = None
    refPointOfInterest: str | list[str] | None = None
    department: str | dict[str, str] | None = None
    dataProvider: str | dict[str, str] | None = None
    source: str | dict[str, str] | None = None
    owner: Any | None = None
    seeAlso: Any | None = None
    reliability: float | None = None  # 1


@dataclass(frozen=True, kw_only=True)
class Alert:
    """A notice of danger or disturbance for one place and time. Numbers are in the units beside them (UCUM)."""

    id: str
    category: str | dict[str, str] | None = None
    subCategory: str | dict[str, str] | None = None
    severity: Literal["informational", "low", "medium", "high", "critical"] | None = None
    warningColour: Literal["blue", "yellow", "orange", "red"] | None = None
    dateIssued: str | None = None
    validFrom: str | None = None
    validTo: str | None = None
    alertSource: Any | None = None
    data: Any | None = None
    status: Literal["active", "cleared"] | None = None
    refEntity: str | list[str] | None = None
    name: str | dict[str, str] | None = None
    alternateName: str | dict[str, str] | None = None
    description: str | dict[str, str] | None = None
    location: dict[str, Any] | None = None
    address: Any | None = None
    areaServed: str | dict[str, str] | None = None
    dateObserved: Any | None = None
    dateObservedFrom: str | None = None
    dateObservedTo: str | None = None
    refDevice: str | list[str] | None = None
    refDistrict: str | list[str] | None = None
    refPointOfInterest: str | list[str] | None = None
    department: str | dict[str, str] | None = None
    dataProvider: str | dict[str, str] | None = None
    source: str | dict[str, str] | None = None
    owner: Any | None = None
    seeAlso: Any | None = None
    reliability: float | None = None  # 1


@dataclass(frozen=True, kw_only=True)
class Camera:
    """A camera and what it counts; no pictures of people. Numbers are in the units beside them (UCUM)."""

    id: str
    status: Literal["online", "offline", "fault", "covered"] | None = None
    powerState: Literal["on", "off"] | None = None
    recording: Literal["on", "off"] | None = None
    cameraType: Literal["fixed", "dome", "thermal", "panoramic"] | None = None
    vehicleCount: float | None = None  # 1
    peopleCount: float | None = None  # 1
    waterDepth: float | None = None  # m
    visibility: float | None = None  # m
    pan: float | None = None  # deg
    tilt: float | None = None  # deg
    zoom: float | None = None  # 1
    azimuth: float | None = None  # deg
    streamURL: str | dict[str, str] | None = None
    purpose: str | dict[str, str] | None = None
    refRoad: str | list[str] | None = None
    name: str | dict[str, str] | None = None
    alternateName: str | dict[str, str] | None = None
    description: str | dict[str, str] | None = None
    location: dict[str, Any] | None = None
    address: Any | None = None
    areaServed: str | dict[str, str] | None = None
    category: Any | None = None
    dateObserved: Any | None = None
    dateObservedFrom: str | None = None
    dateObservedTo: str | None = None
    refDevice: str | list[str] | None = None
    refDistrict: str | list[str] | None = None
    refPointOfInterest: str | list[str] | None = None
    department: str | dict[str, str] | None = None
    dataProvider: str | dict[str, str] | None = None
    source: str | dict[str, str] | None = None
    owner: Any | None = None
    seeAlso: Any | None = None
    reliability: float | None = None  # 1


@dataclass(frozen=True, kw_only=True)
class CrowdFlowObserved:
    """How many people pass or stay, without telling who. Numbers are in the units beside them (UCUM)."""

    id: str
    peopleCount: float | None = None  # 1
    entryCount: float | None = None  # 1
    exitCount: float | None = None  # 1
    occupancy: float | None = None  # 1
    crowdDensity: float | None = None  # /m2
    averageCrowdSpeed: float | None = None  # km/h
    averageHeadwayTime: float | None = None  # s
    congested: bool | None = None
    direction: Literal["inbound", "outbound"] | None = None
    capacity: float | None = None  # 1
    name: str | dict[str, str] | None = None
    alternateName: str | dict[str, str] | None = None
    description: str | dict[str, str] | None = None
    location: dict[str, Any] | None = None
    address: Any | None = None
    areaServed: str | dict[str, str] | None = None
    category: Any | None = None
    dateObserved: Any | None = None
    dateObservedFrom: str | None = None
    dateObservedTo: str | None = None
    refDevice: str | list[str] | None = None
    refDistrict: str | list[str] | None = None
    refPointOfInterest: str | list[str] | None = None
    department: str | dict[str, str] | None = None
    dataProvider: str | dict[str, str] | None = None
    source: str | dict[str, str] | None = None
    owner: Any | None = None
    seeAlso: Any | None = None
    reliability: float | None = None  # 1


@dataclass(frozen=True, kw_only=True)
class Device:
    """What senses or acts: a sensor, an actuator, a gateway. Numbers are in the units beside them (UCUM)."""

    id: str
    deviceState: Literal["ok", "online", "offline", "sleeping", "fault", "unknown"] | None = None
    batteryLevel: float | None = None  # 1
    rssi: float | None = None  # dB[mW]
    uptime: float | None = None  # s
    internalTemperature: float | None = None  # Cel
    supplyVoltage: float | None = None  # V
    serialNumber: str | dict[str, str] | None = None
    hardwareVersion: str | dict[str, str] | None = None
    softwareVersion: str | dict[str, str] | None = None
    firmwareVersion: str | dict[str, str] | None = None
    deviceModel: str | dict[str, str] | None = None
    manufacturer: str | dict[str, str] | None = None
    controlledProperty: Any | None = None
    controlledAsset: str | list[str] | None = None
    ipAddress: Any | None = None
    macAddress: Any | None = None
    supportedProtocol: Any | None = None
    dateInstalled: str | None = None
    dateFirstUsed: str | None = None
    dateLastCalibration: str | None = None
    dateLastValueReported: str | None = None
    refDeviceModel: str | list[str] | None = None
    refGateway: str | list[str] | None = None
    name: str | dict[str, str] | None = None
    alternateName: str | dict[str, str] | None = None
    description: str | dict[str, str] | None = None
    location: dict[str, Any] | None = None
    address: Any | None = None
    areaServed: str | dict[str, str] | None = None
    category: Any | None = None
    dateObserved: Any | None = None
    dateObservedFrom: str | None = None
    dateObservedTo: str | None = None
    refDevice: str | list[str] | None = None
    refDistrict: str | list[str] | None = None
    refPointOfInterest: str | list[str] | None = None
    department: str | dict[str, str] | None = None
    dataProvider: str | dict[str, str] | None = None
    source: str | dict[str, str] | None = None
    owner: Any | None = None
    seeAlso: Any | None = None
    reliability: float | None = None  # 1


@dataclass(frozen=True, kw_only=True)
class District:
    """An administrative district of the city. Numbers are in the units beside them (UCUM)."""

    id: str
    population: float | None = None  # 1
    area: float | None = None  # km2
    households: float | None = None  # 1
    regionCode: str | dict[str, str] | None = None
    refParent: str | list[str] | None = None
    emergencyResponse: Literal["none", "level4", "level3", "level2", "level1"] | None = None
    name: str | dict[str, str] | None = None
    alternateName: str | dict[str, str] | None = None
    description: str | dict[str, str] | None = None
    location: dict[str, Any] | None = None
    address: Any | None = None
    areaServed: str | dict[str, str] | None = None
    category: Any | None = None
    dateObserved: Any | None = None
    dateObservedFrom: str | None = None
    dateObservedTo: str | None = None
    refDevice: str | list[str] | None = None
    refDistrict: str | list[str] | None = None
    refPointOfInterest: str | list[str] | None = None
    department: str | dict[str, str] | None = None
    dataProvider: str | dict[str, str] | None = None
    source: str | dict[str, str] | None = None
    owner: Any | None = None
    seeAlso: Any | None = None
    reliability: float | None = None  # 1


@dataclass(frozen=True, kw_only=True)
class EnergyMeter:
    """A meter for electricity. Numbers are in the units beside them (UCUM)."""

    id: str
    activePower: float | None = None  # kW
    reactivePower: float | None = None  # kV.A{reactive}
    apparentPower: float | None = None  # kV.A
    activeEnergyImport: float | None = None  # kW.h
    activeEnergyExport: float | None = None  # kW.h
    reactiveEnergyImport: float | None = None  # kV.A.h{reactive}
    voltage: float | None = None  # V
    current: float | None = None  # A
    frequency: float | None = None  # Hz
    powerFactor: float | None = None  # 1
    oilTemperature: float | None = None  # Cel
    maximumDemand: float | None = None  # kW
    switchState: Literal["closed", "open"] | None = None
    phaseType: Literal["singlePhase", "threePhase"] | None = None
    serialNumber: str | dict[str, str] | None = None
    consumerKind: Literal["home", "business", "public", "grid"] | None = None
    name: str | dict[str, str] | None = None
    alternateName: str | dict[str, str] | None = None
    description: str | dict[str, str] | None = None
    location: dict[str, Any] | None = None
    address: Any | None = None
    areaServed: str | dict[str, str] | None = None
    category: Any | None = None
    dateObserved: Any | None = None
    dateObservedFrom: str | None = None
    dateObservedTo: str | None = None
    refDevice: str | list[str] | None = None
    refDistrict: str | list[str] | None = None
    refPointOfInterest: str | list[str] | None = None
    department: str | dict[str, str] | None = None
    dataProvider: str | dict[str, str] | None = None
    source: str | dict[str, str] | None = None
    owner: Any | None = None
    seeAlso: Any | None = None
    reliability: float | None = None  # 1


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A gate that lets water through or holds it back. Numbers are in the units beside them (UCUM)."""

    id: str
    gateState: Literal["open", "partlyOpen", "closed", "moving"] | None = None
    openingLevel: float | None = None  # 1
    openingHeight: float | None = None  # m
    status: Literal["ok", "fault", "maintenance", "local"] | None = None
    upstreamLevel: float | None = None  # m
    downstreamLevel: float | None = None  # m
    flowRate: float | None = None  # m3/s
    current: float | None = None  # A
    controls: str | list[str] | None = None
    dischargesInto: str | list[str] | None = None
    refRiver: str | list[str] | None = None
    name: str | dict[str, str] | None = None
    alternateName: str | dict[str, str] | None = None
    description: str | dict[str, str] | None = None
    location: dict[str, Any] | None = None
    address: Any | None = None
    areaServed: str | dict[str, str] | None = None
    category: Any | None = None
    dateObserved: Any | None = None
    dateObservedFrom: str | None = None
    dateObservedTo: str | None = None
    refDevice: str | list[str] | None = None
    refDistrict: str | list[str] | None = None
    refPointOfInterest: str | list[str] | None = None
    department: str | dict[str, str] | None = None
    dataProvider: str | dict[str, str] | None = None
    source: str | dict[str, str] | None = None
    owner: Any | None = None
    seeAlso: Any | None = None
    reliability: float | None = None  # 1


@dataclass(frozen=True, kw_only=True)
class NoiseLevelObserved:
    """The sound level at one place. Numbers are in the units beside them (UCUM)."""

    id: str
    LAeq: float | None = None  # dB
    LAmax: float | None = None  # dB
    LAmin: float | None = None  # dB
    LAS: float | None = None  # dB
    LAeq_d: float | None = None  # dB
    LAeq_n: float | None = None  # dB
    LA10: float | None = None  # dB
    LA90: float | None = None  # dB
    functionalArea: Literal["class0", "class1", "class2", "class3", "class4a", "class4b"] | None = None
    frequencies: Any | None = None
    name: str | dict[str, str] | None = None
    alternateName: str | dict[str, str] | None = None
    description: str | dict[str, str] | None = None
    location: dict[str, Any] | None = None
    address: Any | None = None
    areaServed: str | dict[str, str] | None = None
    category: Any | None = None
    dateObserved: Any | None = None
    dateObservedFrom: str | None = None
    dateObservedTo: str | None = None
    refDevice: str | list[str] | None = None
    refDistrict: str | list[str] | None = None
    refPointOfInterest: str | list[str] | None = None
    department: str | dict[str, str] | None = None
    dataProvider: str | dict[str, str] | None = None
    source: str | dict[str, str] | None = None
    owner: Any | None = None
    seeAlso: Any | None = None
    reliability: float | None = None  # 1


@dataclass(frozen=True, kw_only=True)
class OffStreetParking:
    """A car park off the street. Numbers are in the units beside them (UCUM)."""

    id: str
    availableSpotNumber: float | None = None  # 1
    occupiedSpotNumber: float | None = None  # 1
    occupancy: float | None = None  # 1
    entryCount: float | None = None  # 1
    exitCount: float | None = None  # 1
    totalSpotNumber: float | None = None  # 1
    extraSpotNumber: float | None = None  # 1
    status: Literal["open", "closed", "closedAbnormal", "almostFull", "full"] | None = None
    layout: Any | None = None
    allowedVehicleType: Any | None = None
    chargeType: Any | None = None
    requiredPermit: Any | None = None
    maximumParkingDuration: str | dict[str, str] | None = None
    firstAvailableFloor: float | None = None  # 1
    name: str | dict[str, str] | None = None
    alternateName: str | dict[str, str] | None = None
    description: str | dict[str, str] | None = None
    location: dict[str, Any] | None = None
    address: Any | None = None
    areaServed: str | dict[str, str] | None = None
    category: Any | None = None
    dateObserved: Any | None = None
    dateObservedFrom: str | None = None
    dateObservedTo: str | None = None
    refDevice: str | list[str] | None = None
    refDistrict: str | list[str] | None = None
    refPointOfInterest: str | list[str] | None = None
    department: str | dict[str, str] | None = None
    dataProvider: str | dict[str, str] | None = None
    source: str | dict[str, str] | None = None
    owner: Any | None = None
    seeAlso: Any | None = None
    reliability: float | None = None  # 1


@dataclass(frozen=True, kw_only=True)
class Pump:
    """A pump that moves water out of a drain, river or tank. Numbers are in the units beside them (UCUM)."""

    id: str
    powerState: Literal["on", "off"] | None = None
    status: Literal["ok", "fault", "maintenance", "local"] | None = None
    flowRate: float | None = None  # m3/h
    activePower: float | None = None  # kW
    pressure: float | None = None  # kPa
    current: float | None = None  # A
    energyConsumed: float | None = None  # kW.h
    runningTime: float | None = None  # h
    ratedFlow: float | None = None  # m3/h
    ratedPower: float | None = None  # kW
    startLevel: float | None = None  # m
    stopLevel: float | None = None  # m
    drains: str | list[str] | None = None
    dischargesInto: str | list[str] | None = None
    refPumpStation: str | list[str] | None = None
    name: str | dict[str, str] | None = None
    alternateName: str | dict[str, str] | None = None
    description: str | dict[str, str] | None = None
    location: dict[str, Any] | None = None
    address: Any | None = None
    areaServed: str | dict[str, str] | None = None
    category: Any | None = None
    dateObserved: Any | None = None
    dateObservedFrom: str | None = None
    dateObservedTo: str | None = None
    refDevice: str | list[str] | None = None
    refDistrict: str | list[str] | None = None
    refPointOfInterest: str | list[str] | None = None
    department: str | dict[str, str] | None = None
    dataProvider: str | dict[str, str] | None = None
    source: str | dict[str, str] | None = None
    owner: Any | None = None
    seeAlso: Any | None = None
    reliability: float | None = None  # 1


@dataclass(frozen=True, kw_only=True)
class River:
    """A river or canal, or a stretch of it. Numbers are in the units beside them (UCUM)."""

    id: str
    waterLevel: float | None = None  # m
    flowRate: float | None = None  # m3/s
    length: float | None = None  # km
    width: float | None = None  # m
    catchmentArea: float | None = None  # km2
    warningLevel: float | None = None  # m
    guaranteedLevel: float | None = None  # m
    bankLevel: float | None = None  # m
    riverCode: str | dict[str, str] | None = None
    riverChief: str | dict[str, str] | None = None
    flowsInto: str | list[str] | None = None
    name: str | dict[str, str] | None = None
    alternateName: str | dict[str, str] | None = None
    description: str | dict[str, str] | None = None
    location: dict[str, Any] | None = None
    address: Any | None = None
    areaServed: str | dict[str, str] | None = None
    category: Any | None = None
    dateObserved: Any | None = None
    dateObservedFrom: str | None = None
    dateObservedTo: str | None = None
    refDevice: str | list[str] | None = None
    refDistrict: str | list[str] | None = None
    refPointOfInterest: str | list[str] | None = None
    department: str | dict[str, str] | None = None
    dataProvider: str | dict[str, str] | None = None
    source: str | dict[str, str] | None = None
    owner: Any | None = None
    seeAlso: Any | None = None
    reliability: float | None = None  # 1


@dataclass(frozen=True, kw_only=True)
class Road:
    """A road or a stretch of it. Numbers are in the units beside them (UCUM)."""

    id: str
    roadClass: Literal["motorway", "trunk", "primary", "secondary", "tertiary", "residential", "service", "footway", "underpass", "bridge"] | None = None
    status: Literal["open", "restricted", "closed", "flooded"] | None = None
    waterDepth: float | None = None  # m
    surfaceTemperature: float | None = None  # Cel
    averageVehicleSpeed: float | None = None  # km/h
    congestionIndex: float | None = None  # 1
    length: float | None = None  # km
    totalLaneNumber: float | None = None  # 1
    maximumAllowedSpeed: float | None = None  # km/h
    elevation: float | None = None  # m
    capacity: float | None = None  # /h
    responsible: str | dict[str, str] | None = None
    refRoadSegment: str | list[str] | None = None
    connectsTo: str | list[str] | None = None
    name: str | dict[str, str] | None = None
    alternateName: str | dict[str, str] | None = None
    description: str | dict[str, str] | None = None
    location: dict[str, Any] | None = None
    address: Any | None = None
    areaServed: str | dict[str, str] | None = None
    category: Any | None = None
    dateObserved: Any | None = None
    dateObservedFrom: str | None = None
    dateObservedTo: str | None = None
    refDevice: str | list[str] | None = None
    refDistrict: str | list[str] | None = None
    refPointOfInterest: str | list[str] | None = None
    department: str | dict[str, str] | None = None
    dataProvider: str | dict[str, str] | None = None
    source: str | dict[str, str] | None = None
    owner: Any | None = None
    seeAlso: Any | None = None
    reliability: float | None = None  # 1


@dataclass(frozen=True, kw_only=True)
class Streetlight:
    """A lamp on a street, or one lantern of it. Numbers are in the units beside them (UCUM)."""

    id: str
    powerState: Literal["on", "off", "low", "bootingUp"] | None = None
    status: Literal["ok", "defectiveLamp", "columnIssue", "brokenLantern"] | None = None
    illuminanceLevel: float | None = None  # 1
    activePower: float | None = None  # W
    energyConsumed: float | None = None  # kW.h
    illuminance: float | None = None  # lx
    voltage: float | None = None  # V
    lanternHeight: float | None = None  # m
    circuit: str | dict[str, str] | None = None
    controllingMethod: Literal["group", "individual"] | None = None
    locationCategory: str | dict[str, str] | None = None
    dateLastLampChange: str | None = None
    dateLastSwitchingOn: str | None = None
    dateLastSwitchingOff: str | None = None
    refRoad: str | list[str] | None = None
    refStreetlightGroup: str | list[str] | None = None
    refStreetlightControlCabinet: str | list[str] | None = None
    name: str | dict[str, str] | None = None
    alternateName: str | dict[str, str] | None = None
    description: str | dict[str, str] | None = None
    location: dict[str, Any] | None = None
    address: Any | None = None
    areaServed: str | dict[str, str] | None = None
    category: Any | None = None
    dateObserved: Any | None = None
    dateObservedFrom: str | None = None
    dateObservedTo: str | None = None
    refDevice: str | list[str] | None = None
    refDistrict: str | list[str] | None = None
    refPointOfInterest: str | list[str] | None = None
    department: str | dict[str, str] | None = None
    dataProvider: str | dict[str, str] | None = None
    source: str | dict[str, str] | None = None
    owner: Any | None = None
    seeAlso: Any | None = None
    reliability: float | None = None  # 1


@dataclass(frozen=True, kw_only=True)
class TrafficFlowObserved:
    """The traffic on a stretch or lane of road. Numbers are in the units beside them (UCUM)."""

    id: str
    intensity: float | None = None  # 1
    flowRate: float | None = None  # /h
    averageVehicleSpeed: float | None = None  # km/h
    freeFlowSpeed: float | None = None  # km/h
    occupancy: float | None = None  # 1
    congestionIndex: float | None = None  # 1
    averageHeadwayTime: float | None = None  # s
    averageGapDistance: float | None = None  # m
    averageVehicleLength: float | None = None  # m
    travelTime: float | None = None  # s
    medianTravelTime: float | None = None  # s
    queueLength: float | None = None  # m
    congested: bool | None = None
    reversedLane: bool | None = None
    laneId: float | None = None  # 1
    laneDirection: Literal["forward", "backward"] | None = None
    vehicleType: str | dict[str, str] | None = None
    detectorStatus: str | dict[str, str] | None = None
    length: float | None = None  # m
    refRoad: str | list[str] | None = None
    refRoadSegment: str | list[str] | None = None
    name: str | dict[str, str] | None = None
    alternateName: str | dict[str, str] | None = None
    description: str | dict[str, str] | None = None
    location: dict[str, Any] | None = None
    address: Any | None = None
    areaServed: str | dict[str, str] | None = None
    category: Any | None = None
    dateObserved: Any | None = None
    dateObservedFrom: str | None = None
    dateObservedTo: str | None = None
    refDevice: str | list[str] | None = None
    refDistrict: str | list[str] | None = None
    refPointOfInterest: str | list[str] | None = None
    department: str | dict[str, str] | None = None
    dataProvider: str | dict[str, str] | None = None
    source: str | dict[str, str] | None = None
    owner: Any | None = None
    seeAlso: Any | None = None
    reliability: float | None = None  # 1


@dataclass(frozen=True, kw_only=True)
class Vehicle:
    """A vehicle of a public service. Numbers are in the units beside them (UCUM)."""

    id: str
    speed: float | None = None  # km/h
    heading: float | None = None  # deg
    mileageFromOdometer: float | None = None  # km
    fuelLevel: float | None = None  # 1
    passengerCount: float | None = None  # 1
    cargoWeight: float | None = None  # kg
    altitude: float | None = None  # m
    vehicleType: Literal["car", "bus", "lorry", "van", "taxi", "ambulance", "fireTender", "policeCar", "municipalVehicle", "motorcycle", "bicycle", "vessel", "drone"] | None = None
    serviceStatus: Literal["onRoute", "standby", "parked", "broken", "offDuty"] | None = None
    ignitionStatus: bool | None = None
    vehiclePlateIdentifier: str | dict[str, str] | None = None
    fleetVehicleId: str | dict[str, str] | None = None
    serviceProvided: Any | None = None
    previousLocation: dict[str, Any] | None = None
    refRoad: str | list[str] | None = None
    name: str | dict[str, str] | None = None
    alternateName: str | dict[str, str] | None = None
    description: str | dict[str, str] | None = None
    location: dict[str, Any] | None = None
    address: Any | None = None
    areaServed: str | dict[str, str] | None = None
    category: Any | None = None
    dateObserved: Any | None = None
    dateObservedFrom: str | None = None
    dateObservedTo: str | None = None
    refDevice: str | list[str] | None = None
    refDistrict: str | list[str] | None = None
    refPointOfInterest: str | list[str] | None = None
    department: str | dict[str, str] | None = None
    dataProvider: str | dict[str, str] | None = None
    source: str | dict[str, str] | None = None
    owner: Any | None = None
    seeAlso: Any | None = None
    reliability: float | None = None  # 1


@dataclass(frozen=True, kw_only=True)
class WasteContainer:
    """A container for waste. Numbers are in the units beside them (UCUM)."""

    id: str
    fillingLevel: float | None = None  # 1
    cargoWeight: float | None = None  # kg
    temperature: float | None = None  # Cel
    methaneConcentration: float | None = None  # ug/m3
    status: Literal["ok", "lidOpen", "dropped", "moved", "vandalized", "burning", "unknown"] | None = None
    storedWasteKind: Literal["recyclable", "hazardous", "kitchen", "residual"] | None = None
    capacity: float | None = None  # L
    dateLastEmptying: str | None = None
    nextActuationDeadline: str | None = None
    serialNumber: str | dict[str, str] | None = None
    batteryLevel: float | None = None  # 1
    name: str | dict[str, str] | None = None
    alternateName: str | dict[str, str] | None = None
    description: str | dict[str, str] | None = None
    location: dict[str, Any] | None = None
    address: Any | None = None
    areaServed: str | dict[str, str] | None = None
    category: Any | None = None
    dateObserved: Any | None = None
    dateObservedFrom: str | None = None
    dateObservedTo: str | None = None
    refDevice: str | list[str] | None = None
    refDistrict: str | list[str] | None = None
    refPointOfInterest: str | list[str] | None = None
    department: str | dict[str, str] | None = None
    dataProvider: str | dict[str, str] | None = None
    source: str | dict[str, str] | None = None
    owner: Any | None = None
    seeAlso: Any | None = None
    reliability: float | None = None  # 1


@dataclass(frozen=True, kw_only=True)
class WaterLevelObserved:
    """The level of a river, drain, reservoir or flooded road at one place. Numbers are in the units beside them (UCUM)."""

    id: str
    waterLevel: float | None = None  # m
    waterDepth: float | None = None  # m
    flowRate: float | None = None  # m3/s
    flowVelocity: float | None = None  # m/s
    waterTemperature: float | None = None  # Cel
    levelChange: float | None = None  # m/h
    precipitation: float | None = None  # mm
    siteCategory: Literal["river", "drain", "reservoir", "lake", "tank", "road", "underpass", "sea"] | None = None
    warningLevel: float | None = None  # m
    guaranteedLevel: float | None = None  # m
    normalLevel: float | None = None  # m
    bankLevel: float | None = None  # m
    gaugeZero: float | None = None  # m
    refRiver: str | list[str] | None = None
    refRoad: str | list[str] | None = None
    flowsInto: str | list[str] | None = None
    stationCode: str | dict[str, str] | None = None
    name: str | dict[str, str] | None = None
    alternateName: str | dict[str, str] | None = None
    description: str | dict[str, str] | None = None
    location: dict[str, Any] | None = None
    address: Any | None = None
    areaServed: str | dict[str, str] | None = None
    category: Any | None = None
    dateObserved: Any | None = None
    dateObservedFrom: str | None = None
    dateObservedTo: str | None = None
    refDevice: str | list[str] | None = None
    refDistrict: str | list[str] | None = None
    refPointOfInterest: str | list[str] | None = None
    department: str | dict[str, str] | None = None
    dataProvider: str | dict[str, str] | None = None
    source: str | dict[str, str] | None = None
    owner: Any | None = None
    seeAlso: Any | None = None
    reliability: float | None = None  # 1


@dataclass(frozen=True, kw_only=True)
class WaterMeter:
    """A meter for water. Numbers are in the units beside them (UCUM)."""

    id: str
    waterConsumption: float | None = None  # m3
    flowRate: float | None = None  # L/min
    pressure: float | None = None  # kPa
    temperature: float | None = None  # Cel
    leakDetected: bool | None = None
    flowReversed: bool | None = None
    valveState: Literal["open", "closed"] | None = None
    status: Literal["ok", "fault", "tampered"] | None = None
    batteryLevel: float | None = None  # 1
    serialNumber: str | dict[str, str] | None = None
    diameter: float | None = None  # mm
    consumerKind: Literal["home", "business", "public", "network"] | None = None
    name: str | dict[str, str] | None = None
    alternateName: str | dict[str, str] | None = None
    description: str | dict[str, str] | None = None
    location: dict[str, Any] | None = None
    address: Any | None = None
    areaServed: str | dict[str, str] | None = None
    category: Any | None = None
    dateObserved: Any | None = None
    dateObservedFrom: str | None = None
    dateObservedTo: str | None = None
    refDevice: str | list[str] | None = None
    refDistrict: str | list[str] | None = None
    refPointOfInterest: str | list[str] | None = None
    department: str | dict[str, str] | None = None
    dataProvider: str | dict[str, str] | None = None
    source: str | dict[str, str] | None = None
    owner: Any | None = None
    seeAlso: Any | None = None
    reliability: float | None = None  # 1


@dataclass(frozen=True, kw_only=True)
class WeatherObserved:
    """The weather at one place. Numbers are in the units beside them (UCUM)."""

    id: str
    temperature: float | None = None  # Cel
    relativeHumidity: float | None = None  # 1
    dewPoint: float | None = None  # Cel
    atmosphericPressure: float | None = None  # hPa
    precipitation: float | None = None  # mm
    windSpeed: float | None = None  # m/s
    windDirection: float | None = None  # deg
    precipitationIntensity: float | None = None  # mm/h
    gustSpeed: float | None = None  # m/s
    feelsLikeTemperature: float | None = None  # Cel
    visibility: float | None = None  # m
    solarRadiation: float | None = None  # W/m2
    illuminance: float | None = None  # lx
    snowHeight: float | None = None  # cm
    uvIndex: float | None = None  # 1
    cloudiness: float | None = None  # 1
    streamGauge: float | None = None  # cm
    pressureTendency: Literal["raising", "falling", "steady"] | None = None
    weatherType: str | dict[str, str] | None = None
    stationCode: str | dict[str, str] | None = None
    stationName: str | dict[str, str] | None = None
    name: str | dict[str, str] | None = None
    alternateName: str | dict[str, str] | None = None
    description: str | dict[str, str] | None = None
    location: dict[str, Any] | None = None
    address: Any | None = None
    areaServed: str | dict[str, str] | None = None
    category: Any | None = None
    dateObserved: Any | None = None
    dateObservedFrom: str | None = None
    dateObservedTo: str | None = None
    refDevice: str | list[str] | None = None
    refDistrict: str | list[str] | None = None
    refPointOfInterest: str | list[str] | None = None
    department: str | dict[str, str] | None = None
    dataProvider: str | dict[str, str] | None = None
    source: str | dict[str, str] | None = None
    owner: Any | None = None
    seeAlso: Any | None = None
    reliability: float | None = None  # 1
