"""What each model version needs."""

from __future__ import annotations

from feast import FeatureService

from feature_repo.views import OWNER, VIEWS, calendar

FLIGHT_DELAYS = FeatureService(
    name="flight_delays_v1",
    features=[*VIEWS.values(), calendar],
    description="All that is known of a flight one hour before its scheduled departure.",
    owner=OWNER,
)
SERVICES = {service.name: service for service in (FLIGHT_DELAYS,)}
