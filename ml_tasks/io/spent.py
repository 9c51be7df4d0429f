"""What the attempts of a run were given and used: from their results and what launchers saw."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ml_tasks.config import NODE_TYPE
from ml_tasks.errors import ExitCode
from ml_tasks.io.costs import Cost
from ml_tasks.result import Resources

if TYPE_CHECKING:
    from ml_tasks.config import Pipeline, Prices
    from ml_tasks.io.costs import State
    from ml_tasks.io.runs import Try
    from ml_tasks.result import Result


def cost(pipeline: Pipeline, run: str, made: Try, prices: Prices) -> Cost:
    """Give what one attempt cost: what all its pods were given, for the time that it had them.

    Args:
        pipeline: Says what the task is given.
        run: Name of the run.
        made: What the attempt left, and what its launcher saw.
        prices: What that costs.
    """
    given = pipeline.resources_of(made.task)
    own = made.result.resources if made.result else Resources()
    pods = list(made.usage.pods.values()) if made.usage else []
    # Without a launcher's word there was one process, for as long as it says itself.
    seconds = sum(pod.seconds for pod in pods) or own.wall_seconds
    # A result that says nothing of its own use was left for a process that could not speak.
    told = made.result is not None and own.wall_seconds > 0
    held = 0.0 if told else given.gpus * seconds
    return Cost(
        pipeline=pipeline.name,
        run=run,
        task=made.task,
        attempt=made.attempt,
        at=_began(made),
        state=_state(made.result),
        pods=len(pods) or 1,
        cpus=given.cpus,
        memory_gb=given.memory_gb,
        gpus=given.gpus,
        node_type=given.node_selector.get(NODE_TYPE, ""),
        spot=given.spot,
        wall_seconds=own.wall_seconds or max((pod.seconds for pod in pods), default=0.0),
        pod_seconds=round(seconds, 3),
        cpu_seconds=round(max(own.cpu_seconds, sum(pod.cpu_seconds for pod in pods)), 3),
        gpu_seconds=own.gpu_seconds or held,
        peak_memory_mb=max([own.peak_memory_mb, *(pod.peak_memory_mb for pod in pods)]),
        amount=prices.amount(given, seconds),
        currency=prices.currency,
    )


def _state(result: Result | None) -> State:
    if result is None:
        return "killed"
    if result.error is None:
        return "done"
    return "skipped" if result.error.exit_code == ExitCode.SKIP else "failed"


def _began(made: Try) -> str:
    told = [one.started for one in (made.result, made.usage) if one is not None]
    moment = min((one for one in told if one is not None), default=datetime.now(UTC))
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
