"""What features are about."""

from __future__ import annotations

from feast import Entity, ValueType

_TEXT = ValueType.STRING

ORIGIN = Entity(name="origin", value_type=_TEXT, description="Airport of departure, IATA code.")
DEST = Entity(name="dest", value_type=_TEXT, description="Airport of arrival, IATA code.")
CARRIER = Entity(name="carrier", value_type=_TEXT, description="Airline, two-letter code.")
TAILNUM = Entity(name="tailnum", value_type=_TEXT, description="Aircraft, tail number.")
SLOT = Entity(
    name="slot", value_type=_TEXT, description="Hour of scheduled departure, UTC: 2013-01-31T17."
)
NUMBER = Entity(name="flight", value_type=ValueType.INT64, description="Flight number.")
ENTITIES = {e.name: e for e in (ORIGIN, DEST, CARRIER, TAILNUM, SLOT, NUMBER)}
