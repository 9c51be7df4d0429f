"""The YAML of a new product, as text: comments say what was guessed and why."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import chain, count
from typing import TYPE_CHECKING, Any

import yaml

from ml_tasks.config.numbers import LARGEST
from ml_tasks.config.references import segment_column

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from perennial.guesses import Asked, Calendar

GATES = {
    "classification": """\
    - {name: no_leak, params: {ceiling: 0.99}}
    - {name: floor, params: {metric: roc_auc, minimum: 0.6}}
    - {name: beats_baseline, params: {metric: roc_auc, baseline: majority}}
    - {name: beats_champion, params: {metric: roc_auc}}""",
    "regression": """\
    - {name: no_leak, params: {ceiling: 0.99}}
    - {name: floor, params: {metric: r2, minimum: 0.05}}
    - {name: beats_baseline, params: {metric: rmse, baseline: mean}}
    - {name: beats_champion, params: {metric: rmse}}""",
}
BASELINES = {
    "classification": "[majority, logistic_regression, gradient_boosting]",
    "regression": "[mean, linear_regression, gradient_boosting]",
}
METRIC = {"classification": "roc_auc", "regression": "rmse"}
LEAST_AUC = 0.005
STEPS = 40
"""Steps an epoch is to have, within the limits of a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """All that the YAML says."""

    name: str
    kind: str
    params: Mapping[str, Any]
    kinds: Mapping[str, str]
    event_time: str
    label_known_at: str
    key: Sequence[str]
    twice: int
    """Rows that bear the key of one before."""
    asked: Asked
    features: Sequence[str]
    left_out: Mapping[str, str]
    segments: Sequence[str]
    spread: float
    """Standard deviation of the label."""
    calendar: Calendar
    rows: int
    beyond: int
    """Rows of times that no window can take in."""
    told: frozenset[str]
    """What a person said, and was not guessed."""


def render(draft: Draft) -> str:
    """Give the YAML."""
    cut, task = draft.calendar, draft.asked.task
    return f"""\
# Made by `perennial new product`. What stands behind `guessed` was read off the data: look at it.
name: {_flow(draft.name)}
description: {_flow(f"Predicts {draft.asked.column} of {draft.name}.")}
owner: unassigned
tags: [{task}]

schedule:
  cron: {_flow(cut.cron)}   # guessed: {cut.each} is a window
  start: {cut.start}
  end: {cut.end}   # guessed: the last row's day; take it away where more is to come

{_rows(draft)}
{_question(draft)}
split:   # guessed: the last 20 % of the rows to judge by, the 15 % before to choose by
  validation_days: {cut.validation_days}
  test_days: {cut.test_days}
  gap_days: {cut.gap_days}

training:
  model: mlp
  seed: 7
  params: {{hidden: [64, 32], dropout: 0.1}}
  batch_size: {_batch(draft.rows)}
  epochs: 40
  patience: 8
  learning_rate: 0.002
  weight_decay: 0.01

{_evaluation(draft)}
monitoring:   # guessed: a drift that may cost less of {METRIC[task]} is shown, and wakes nobody
  alarms: {{false_pages: 1, days: 91, least_loss: {_floor(draft)}}}

resources:
  default: {{cpus: 1, memory_gb: 2}}
"""


def _rows(draft: Draft) -> str:
    times = list(dict.fromkeys((draft.event_time, draft.label_known_at)))
    twice = f"; {draft.twice} rows repeat one" if draft.twice else ""
    return f"""\
sources:
  {_flow(draft.name)}:
    kind: {draft.kind}
    params:
{_lines(f"      {name}: {_flow(value)}" for name, value in draft.params.items())}\
    key: {_flow(list(draft.key))}{_mark(draft, "key", f"these name a row{twice}")}
    event_time: {_flow(draft.event_time)}{_mark(draft, "event_time", "when a row happened")}
    known_at: {_flow(times)}   # guessed: the latest of these is when all of a row was known
    columns:   # guessed: types from {draft.rows} rows; a `?` where a value is missing
{_lines(f"      {_flow(name)}: {kind}" for name, kind in draft.kinds.items())}
validation:
  tolerated_bad_share: 0.02
  # such as {draft.name}: [{{type: expect_column_values_to_not_be_null, column: NAME}}]
  expectations: {{}}
"""


def _question(draft: Draft) -> str:
    asked, known_at = draft.asked, _flow(draft.label_known_at)
    return f"""\
features:   # guessed: known when it is asked; take away what is known only afterwards
  columns:
{_lines(f"    - {_flow(name)}" for name in draft.features)}\
{_lines(f"  # left out: {_flow(name)}: {why}" for name, why in draft.left_out.items())}
label:
  source: {_flow(draft.name)}
  task: {asked.task}{_mark(draft, "task", asked.why)}
  expression: {_flow(asked.expression)}{_mark(draft, "label", "its name")}
  known_at: {known_at}{_mark(draft, "known_at", "known at once; or later?")}
  asked_before_minutes: 0   # guessed: asked when the row happens
"""


def _evaluation(draft: Draft) -> str:
    task = draft.asked.task
    return f"""\
evaluation:
  metric: {METRIC[task]}
  baselines: {BASELINES[task]}
  segments:{"   # guessed: texts of a few kinds" if draft.segments else " {}"}
{_lines(f"    {_flow(name)}: {_flow(_quoted(column))}" for name, column in _named(draft))}\
  gates:   # guessed: better than knowing nothing; raise the floors to what is of use
{GATES[task]}
"""


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _mark(draft: Draft, what: str, why: str) -> str:
    """Give the comment behind what was guessed; nothing behind what a person said."""
    return "" if what in draft.told else f"   # guessed: {why}"


def _batch(rows: int) -> int:
    size = int(math.log2(max(rows / STEPS, 1)))
    return 1 << min(11, max(5, size))


def _floor(draft: Draft) -> float:
    """Give a loss of the metric that is small beside what it can be; a guess stops nobody."""
    if draft.asked.task == "classification":
        return LEAST_AUC
    floor = float(f"{draft.spread / 100:.2g}")
    return floor if floor <= LARGEST else 0.0


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _named(draft: Draft) -> Iterator[tuple[str, str]]:
    """Give each segment a name of its own.

    The set has its parts in `segment_<name>`, which no column of the source may be called.
    """
    taken = {name.lower() for name in draft.kinds}
    for column in draft.segments:
        slug = _slug(column)
        numbered = (f"{slug}_{number}" for number in count(2))
        name = next(n for n in chain([slug], numbered) if segment_column(n) not in taken)
        taken.add(segment_column(name))
        yield name, column


def _slug(column: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in column.lower())


def _flow(value: Any) -> str:
    """Give a value as YAML on one line."""
    text: str = yaml.safe_dump(
        value, default_flow_style=True, width=math.inf, allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("\n").removesuffix("\n...")
