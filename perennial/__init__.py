"""The command for people: imports all, nothing imports it."""
