"""What Feast serves: entities, views, services, transformations."""

from feature_repo import quick_feast

quick_feast.install()
