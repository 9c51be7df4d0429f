"""What tasks were given and what they used, and what to give them."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import yaml

from ml_tasks.config import TaskResources
from ml_tasks.flow import task_names
from perennial import console

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ml_tasks.config import Pipeline
    from ml_tasks.io.costs import Cost

ENOUGH = 5
"""Good runs on which advice may rest."""
HEADROOM = 1.3
"""What memory is given above the 95th percentile of the peaks."""
STEP = 0.25
"""Memory is given in quarters of a GB, processors in quarters of one."""
MEGABYTES = 1024


@dataclass(frozen=True, slots=True)
class Need:
    """What the runs of one task of a pipeline tell."""

    pipeline: str
    task: str
    runs: int
    """Good ones: quantiles and shares rest on them."""
    given_cpus: float
    given_gb: float
    """To the latest attempt."""
    median_mb: float
    p95_mb: float
    highest_mb: float
    """Of all attempts, failed and killed ones among them."""
    cpu_share: float
    """Processors in use on average, 95th percentile of the runs."""

    @property
    def enough(self) -> bool:
        """Whether there were runs enough to tell."""
        return self.runs >= ENOUGH

    @property
    def memory_gb(self) -> float:
        """What to give: the 95th percentile with headroom, and never less than was seen."""
        return _up(max(self.p95_mb * HEADROOM, self.highest_mb) / MEGABYTES)

    @property
    def cpus(self) -> float:
        """What to give: what was in use."""
        return _up(self.cpu_share)


def needs(found: Iterable[Cost]) -> list[Need]:
    """Give the need of each task of each pipeline, in the order of the flows."""
    parts: dict[tuple[str, str], list[Cost]] = defaultdict(list)
    for cost in found:
        parts[cost.pipeline, cost.task].append(cost)
    place = {task: number for number, task in enumerate(task_names())}
    ordered = sorted(parts, key=lambda key: (key[0], place.get(key[1], len(place))))
    return [_need(parts[key]) for key in ordered]


def _need(own: Sequence[Cost]) -> Need:
    runs: dict[str, list[Cost]] = defaultdict(list)
    for cost in own:
        if cost.state == "done":
            runs[cost.run].append(cost)
    peaks = [max(cost.peak_memory_mb for cost in one) for one in runs.values()]
    shares = [max(_share(cost) for cost in one) for one in runs.values()]
    latest = own[-1]
    return Need(
        pipeline=latest.pipeline,
        task=latest.task,
        runs=len(runs),
        given_cpus=latest.cpus,
        given_gb=latest.memory_gb,
        median_mb=median(peaks) if peaks else 0.0,
        p95_mb=_p95(peaks),
        highest_mb=max(cost.peak_memory_mb for cost in own),
        cpu_share=_p95(shares),
    )


def _share(cost: Cost) -> float:
    """Give how many processors a pod used on average."""
    return cost.cpu_seconds / cost.pod_seconds if cost.pod_seconds else 0.0


def _p95(values: Sequence[float]) -> float:
    """Give the smallest value that 95 % of them do not exceed."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1] if values else 0.0


def _up(value: float) -> float:
    return max(1, math.ceil(round(value / STEP, 6))) * STEP


def show(found: Sequence[Cost], known: Sequence[Pipeline]) -> None:
    """Show what tasks used, and what to write into the YAML of their pipelines."""
    told = needs(found)
    console.table(
        "Given and used",
        ("pipeline", "task", "runs", "GB given", "peak: median", "p95", "highest", "CPUs given",
         "used"),
        [
            (n.pipeline, n.task, n.runs, f"{n.given_gb:g}", *map(_gb, (n.median_mb, n.p95_mb,
             n.highest_mb)), f"{n.given_cpus:g}", f"{n.cpu_share:.2f}")
            for n in told
        ],
    )  # fmt: skip
    pipelines = {pipeline.name: pipeline for pipeline in known}
    for name in dict.fromkeys(need.pipeline for need in told):
        own = [need for need in told if need.pipeline == name]
        console.plain("\n" + snippet(own, pipelines.get(name)))


def _gb(megabytes: float) -> str:
    return f"{megabytes / MEGABYTES:.2f}"


def snippet(told: Sequence[Need], pipeline: Pipeline | None) -> str:
    """Give what to write into a pipeline's YAML; where runs are too few, that they are."""
    lines = [f"# {told[0].pipeline}.yaml"]
    good = [need for need in told if need.enough]
    if good:
        lines.append("resources:")
    for need in good:
        words = yaml.safe_dump(_written(need, pipeline), default_flow_style=True, width=math.inf)
        lines.append(f"  {need.task}: {words.strip()}  # by {need.runs} runs")
    lines += [
        f"# {need.task}: {need.runs} good runs are too few to tell, wanted {ENOUGH}"
        for need in told
        if not need.enough
    ]
    return "\n".join(lines)


def _written(need: Need, pipeline: Pipeline | None) -> Mapping[str, Any]:
    """Give a task's section: what it has already, with other processors and memory.

    A section of a task stands in for the whole of `default`: what that says is said again.
    """
    present = TaskResources() if pipeline is None else pipeline.resources_of(need.task)
    kept = present.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return {**kept, "cpus": need.cpus, "memory_gb": need.memory_gb}
