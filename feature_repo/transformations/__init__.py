"""How feature tables are derived: one ibis expression a table, one line in `TABLES`."""

from __future__ import annotations

from feature_repo.transformations.aircraft import AIRCRAFT
from feature_repo.transformations.schedule import SCHEDULE
from feature_repo.transformations.table import FeatureTable
from feature_repo.transformations.traffic import TRAFFIC
from feature_repo.transformations.weather import WEATHER

__all__ = ["TABLES", "FeatureTable"]

TABLES: dict[str, FeatureTable] = {t.name: t for t in (*TRAFFIC, AIRCRAFT, SCHEDULE, WEATHER)}
