"""Measures candidate, champion and baselines on the same test rows."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_tasks.config.references import CANDIDATE, CHAMPION, SEGMENT
from ml_tasks.errors import ConfigError
from ml_tasks.gates.verdict import Leaks, Measured, Segment
from ml_tasks.io import objects, parquet
from ml_tasks.io.content import bytes_hash, content_hash
from ml_tasks.io.control import Control
from ml_tasks.models.predict import OnnxModel
from ml_tasks.result import Output, Result
from ml_tasks.training import champion
from ml_tasks.training.assembled import Assembled
from ml_tasks.training.bootstrap import Resamples, better, interval, metrics

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl
    from numpy.typing import NDArray

    from ml_tasks.config import Evaluation, Pipeline
    from ml_tasks.context import Context
    from ml_tasks.io.control import Head

    Numbers = NDArray[np.float64]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Test:
    """The rows that all are measured on."""

    task: Any
    y: Numbers
    days: NDArray[np.generic]
    segments: Mapping[str, NDArray[np.generic]]
    """By name: each row's part, as text."""


def compare(
    test: Test,
    predictions: Mapping[str, Numbers],
    *,
    candidate: str,
    champion: str | None,
    evaluation: Evaluation,
    seed: int,
) -> Measured:
    """Measure each prediction with day-block intervals, and the candidate against the others.

    Args:
        test: Labels, days and segments.
        predictions: `candidate`, `champion` where there is one, and the baselines by name.
        candidate: Hash of the candidate's weights.
        champion: The champion's version.
        evaluation: Number of resamples.
        seed: Seed of the resampling; the same for all, so that differences are paired.
    """
    draws = Resamples.of(test.days, evaluation.bootstrap_samples, seed)
    measured = {name: metrics(test.task, test.y, p, draws) for name, p in predictions.items()}
    ours = measured[CANDIDATE]

    def over(name: str) -> dict[str, Any]:
        return {m: better(m, ours[m], measured[name][m]) for m in ours}

    rivals = [name for name in measured if name not in (CANDIDATE, CHAMPION)]
    return Measured(
        candidate=candidate,
        champion=champion,
        metrics={m: interval(d) for m, d in ours.items()},
        over_champion=over(CHAMPION) if CHAMPION in measured else {},
        over_baseline={name: over(name) for name in rivals},
        segments=tuple(
            _segment(f"{name}={value}", values == value, test, predictions[CANDIDATE], draws)
            for name, values in test.segments.items()
            for value in np.unique(values)
        ),
    )


def _segment(
    name: str, rows: NDArray[np.bool_], test: Test, predictions: Numbers, draws: Resamples
) -> Segment:
    own = draws.only(rows)
    measured = metrics(test.task, test.y[rows], predictions[rows], own)
    return Segment(
        name=name,
        rows=int(rows.sum()),
        days=own.effective_days,
        metrics={m: interval(d) for m, d in measured.items()},
    )


def run(pipeline: Pipeline, context: Context) -> Result:
    """Predict the test rows with candidate and champion, and write what was measured of all."""
    import polars as pl

    made, stored = Assembled.of(context), champion.trained(context)
    test_rows, about = made.part("test"), made.about
    model = OnnxModel(objects.read_bytes(stored.graph), stored.spec)
    predictions = {CANDIDATE: model.predict(test_rows)}
    head = Control(context.environment.control).champion(context.pipeline)
    unmeasured = None
    if head is not None:
        said = _champion(context, head, made.rows)
        if isinstance(said, str):
            unmeasured = said
        else:
            predictions[CHAMPION] = said
    predictions |= _baselines(pipeline, context)
    test = Test(
        task=about["task"],
        y=test_rows[about["label"]].to_numpy().astype(float),
        days=test_rows["event_time"].dt.date().to_numpy(),
        segments={
            name.removeprefix(SEGMENT): test_rows[name]
            .fill_null("(none)")
            .cast(pl.String)
            .to_numpy()
            for name in about["segments"]
        },
    )
    measured = compare(
        test,
        predictions,
        candidate=stored.weights,
        champion=None if head is None else head.version,
        evaluation=pipeline.evaluation,
        seed=pipeline.training.seed,
    )
    measured = measured.model_copy(
        update={"leaks": _leaks(context), "champion_unmeasured": unmeasured}
    )
    return _result(pipeline, context, measured, test_rows, predictions, test)


def _baselines(pipeline: Pipeline, context: Context) -> dict[str, Numbers]:
    """Give what the baselines say of the test rows, by name.

    Raises:
        ConfigError: They were fitted on another set, or others are asked for now.
    """
    said, made = context.output("baseline", "predictions"), context.output("assemble", "set")
    if said.uri is None:
        raise ConfigError("baseline's output 'predictions' is no object; run baseline again")
    fitted, values = parquet.read(said.uri), context.inputs["baseline"].values
    wanted, seed = pipeline.evaluation.baselines, pipeline.training.seed
    again = "clear baseline and what comes after it"
    if (values["set_hash"], values["seed"]) != (made.content_hash, seed):
        raise ConfigError(
            f"baselines were fitted on the set {values['set_hash'][:12]} with seed "
            f"{values['seed']}, wanted {made.content_hash[:12]} and {seed}; {again}"
        )
    if lacking := [name for name in wanted if name not in fitted.column_names]:
        raise ConfigError(f"baselines {lacking} were not fitted, and are asked for now; {again}")
    return {name: fitted[name].to_numpy() for name in wanted}


def _leaks(context: Context) -> Leaks | None:
    """Give what the prover found in the very set that was trained on; `None` if it has not."""
    proof, made = context.output("prove", "leaks"), context.output("assemble", "set").content_hash
    if proof.uri is None:
        return None
    found = Leaks.model_validate_json(objects.read_bytes(proof.uri))
    # Whoever clears one task alone may have it train on one set and prove another.
    trained = context.inputs["train"].values.get("set_hash")
    return found if found.set_hash == made == trained else None


def _champion(context: Context, head: Head, rows: pl.DataFrame) -> Numbers | str:
    """Give the champion's predictions of the test rows, or why there are none.

    Raises:
        ConfigError: Its objects are gone.
    """
    import polars as pl

    model = champion.of_head(context.environment, head)
    assembled = context.inputs["assemble"]
    if (kept := assembled.outputs.get("champion")) is not None and kept.uri is not None:
        other = pl.DataFrame(pl.from_arrow(parquet.read(kept.uri)))
        rows = pl.concat([rows, other.drop(rows.columns, strict=False)], how="horizontal")
    if missing := sorted(set(model.inputs) - set(rows.columns)):
        if assembled.values.get("champion") != head.version:
            return (
                f"it takes in {missing}, and the set was assembled when it was not champion; "
                "clear assemble and what comes after it"
            )
        return (
            f"it takes in {missing}, which no feature view and no source has any more; bring them "
            "back until its successor is champion, or let this one version go uncompared: "
            f"beats_champion, params: {{uncompared: '{head.version}'}}"
        )
    test_rows = rows.filter(pl.col("split") == "test")
    return OnnxModel(objects.read_bytes(model.graph), model.spec).predict(test_rows)


def _result(
    pipeline: Pipeline,
    context: Context,
    measured: Measured,
    rows: pl.DataFrame,
    predictions: Mapping[str, Numbers],
    test: Test,
) -> Result:
    import polars as pl

    from ml_tasks.training.metrics import measure

    key = pipeline.sources[pipeline.label.source].key
    said = rows.select(*key, *(c for c in ("event_time", "label") if c not in key)).with_columns(
        pl.Series(name, p) for name, p in predictions.items()
    )
    table, text = said.to_arrow(), measured.model_dump_json(indent=2)
    set_uri, uri = f"{context.folder}/predictions.parquet", f"{context.folder}/evaluation.json"
    parquet.write(set_uri, table)
    objects.write_text(uri, text)
    points = {name: measure(test.task, test.y, p) for name, p in predictions.items()}
    log.info("%s: %s", pipeline.evaluation.metric, {
        name: round(point[pipeline.evaluation.metric], 4) for name, point in points.items()
    })  # fmt: skip
    return context.result(
        outputs={
            "evaluation": Output(uri=uri, content_hash=bytes_hash(text.encode())),
            "predictions": Output(
                uri=set_uri, content_hash=content_hash(table), rows=table.num_rows
            ),
        },
        values={"metrics": points, "champion": measured.champion},
    )
