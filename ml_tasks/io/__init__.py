"""All that touches the world: lake, features, registry, control, objects."""
