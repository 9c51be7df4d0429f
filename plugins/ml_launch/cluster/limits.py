"""What a person is told whose task used more than it was given."""

from __future__ import annotations

import math

MORE_MEMORY = 1.5


def over_memory(task: str, given: float) -> str:
    """Say how much memory to ask for; what was given is in GB."""
    return (
        f"the task used more than the {given:g} GB of memory that it was given; raise "
        f"resources.{task}.memory_gb, to {math.ceil(given * MORE_MEMORY * 2) / 2:g} for a "
        "start, or give it less to do"
    )


def over_disk(task: str, said: str) -> str:
    """Say what to ask for, after the cluster's own words."""
    return f"the task wrote more than it was given ({said.strip()}); raise resources.{task}.disk_gb"
