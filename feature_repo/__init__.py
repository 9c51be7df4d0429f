"""What Feast serves: entities, views, services, transformations."""
