"""What each model version needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from feast import FeatureService

from feature_repo.on_demand import ON_DEMAND
from feature_repo.transformations import TABLES
from feature_repo.views import OWNER, VIEWS

if TYPE_CHECKING:
    from feast.base_feature_view import BaseFeatureView

_LEFT_OUT = {
    # Points in time are for `rotation` alone: a model has no use for them.
    "aircraft_last_departure", "aircraft_last_arrival",
    # With less than a year to learn from, what was learned of some months misleads in others.
    "calendar_day_of_year_sin", "calendar_day_of_year_cos",
}  # fmt: skip


_SOURCES = {"flights", "weather"}
_OF_FLIGHTS = [view for name, view in VIEWS.items() if set(TABLES[name].sources) <= _SOURCES]
"""What is derived for other products is no concern of this one."""


def _asked(view: BaseFeatureView) -> list[str]:
    return [feature.name for feature in view.features if feature.name not in _LEFT_OUT]


FLIGHT_DELAYS = FeatureService(
    name="flight_delays_v1",
    features=[view[_asked(view)] for view in (*_OF_FLIGHTS, *ON_DEMAND)],
    description="All that is known of a flight one hour before its scheduled departure.",
    owner=OWNER,
)
SERVICES = {service.name: service for service in (FLIGHT_DELAYS,)}
