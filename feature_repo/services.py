"""What each model version needs."""

from __future__ import annotations

from feast import FeatureService, FeatureView

from feature_repo.on_demand import ON_DEMAND
from feature_repo.views import OWNER, VIEWS

_MOMENTS = {"aircraft_last_departure", "aircraft_last_arrival"}
"""Points in time are for `rotation` alone: a model has no use for them."""


def _asked(view: FeatureView) -> list[str]:
    return [feature.name for feature in view.features if feature.name not in _MOMENTS]


FLIGHT_DELAYS = FeatureService(
    name="flight_delays_v1",
    features=[
        *(view[_asked(view)] for view in VIEWS.values()),
        *ON_DEMAND,
    ],
    description="All that is known of a flight one hour before its scheduled departure.",
    owner=OWNER,
)
SERVICES = {service.name: service for service in (FLIGHT_DELAYS,)}
