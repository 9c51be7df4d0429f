"""Holds our model against LightGBM and scikit-learn on the same features, over a whole year.

    .venv/bin/python -m bench.quality --home FOLDER [--try]

Trains on January to September 2013, chooses on October, tests on November and December, all by
the tasks' own command lines; the model is then evaluated and judged by the product's own gates.
What a former call has done in FOLDER is not done again. The figures are written to
`docs/quality.md`, with how they were come by; a bound that is broken, or a gate that does not pass,
ends with code 1. `--try` does the same with two months, holds no bound and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightgbm
import polars as pl
import yaml

from bench.page import circumstances
from bench.section import machine
from ml_tasks.baselines import gradient_boosting
from ml_tasks.config import ROOT, Environment
from ml_tasks.io import objects, parquet
from ml_tasks.models import spec as specs
from ml_tasks.models.predict import OnnxModel
from ml_tasks.models.spec import Spec
from ml_tasks.training.metrics import classification

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ml_tasks.baselines import Predict
    from ml_tasks.result import Result

PRODUCT = "flight_delays"
PAGE = ROOT / "docs" / "quality.md"
RANGES = {"roc_auc": (0.779, 0.85), "log_loss": (0.0, 0.457), "ece": (0.0, 0.02)}
"""What is wanted of our model in the months that it is tested on; more of an AUC is a leak."""
MARKS = ("<!-- written by bench.quality -->", "<!-- up to here -->")
PACKAGES = ("lightgbm", "numpy", "onnxruntime", "polars", "scikit-learn", "torch")
LIGHTGBM = {
    "objective": "binary", "learning_rate": 0.05, "num_leaves": 63, "min_child_samples": 100,
    "feature_fraction": 0.5, "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 5.0,
    "seed": 1, "deterministic": True, "verbose": -1,
}  # fmt: skip
ROUNDS, WAIT = 1500, 60


@dataclass(frozen=True, slots=True)
class Span:
    """Months of 2013 and how they are split."""

    months: int
    split: Mapping[str, int]
    parts: Mapping[str, str]
    """Name of each part that is looked at, and the months in it."""

    @property
    def starts(self) -> list[str]:
        """First days of the months, and that after the last."""
        days = [f"2013-{month:02}-01" for month in range(1, 13)] + ["2014-01-01"]
        return days[: self.months + 1]

    @property
    def window(self) -> str:
        """All of them."""
        return f"{self.starts[0]}/{self.starts[-1]}"


LONG = Span(
    12,
    {"validation_days": 31, "test_days": 61, "gap_days": 0},
    {"validation": "October", "test": "November and December"},
)
SHORT = Span(
    2,
    {"validation_days": 7, "test_days": 14, "gap_days": 0},
    {"validation": "a week of February", "test": "its last two weeks"},
)


@dataclass(frozen=True, slots=True)
class Row:
    """What a model is worth in some months."""

    model: str
    part: str
    months: str
    metrics: Mapping[str, float]
    seconds: float
    ours: bool


class Bench:
    """One folder with a lake, a set, and a trained model."""

    def __init__(self, home: Path, threads: int, span: Span) -> None:
        """Write the product's YAML with the span's split into the folder."""
        self.environment = Environment(home=home, pipelines=home / "pipelines")
        self.results = f"{self.environment.objects_root}/bench"
        self.threads, self.span = threads, span
        product = yaml.safe_load((ROOT / f"ml_tasks/pipelines/{PRODUCT}.yaml").read_text())
        product["split"] = dict(span.split)
        product["training"]["threads"] = threads
        self.environment.pipelines.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(product, sort_keys=False)
        (self.environment.pipelines / f"{PRODUCT}.yaml").write_text(text)
        about = home / "about.json"
        if not about.exists():
            about.write_text(json.dumps(machine(PACKAGES)))
        self.about: dict[str, Any] = json.loads(about.read_text())
        """How the machine was when the folder was begun."""

    def task(
        self, task: str, run: str, *, window: str | None = None, needs: tuple[str, ...] = ()
    ) -> Result:
        """Run a task as a process, under torchrun if it is `train`; or give what it left before."""
        uri = f"{self.results}/{run}/{task}.json"
        if not objects.exists(uri):
            torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=1")
            command = [
                *(sys.executable, *(torchrun if task == "train" else ())),
                *("-m", *(("--",) if task == "train" else ()), "ml_tasks", task),
                *("--pipeline", PRODUCT, "--run", run, "--attempt", "1", "--result", uri),
                *(("--window", window) if window else ()),
                *(a for n in needs for a in ("--input", f"{n}={self.results}/{run}/{n}.json")),
            ]
            own = {**self.environment.variables(), "OMP_NUM_THREADS": str(self.threads)}
            subprocess.run(command, env={**os.environ, **own}, check=True)  # noqa: S603, TID251
        return objects.read_result(uri)

    def lake(self) -> None:
        """Bring the flights in, month by month."""
        for start, end in pairwise(self.span.starts):
            run, window = f"month-{start}", f"{start}/{end}"
            self.task("ingest", run, window=window)
            self.task("validate", run, window=window, needs=("ingest",))
            self.task("derive", run, window=window)


def measured(bench: Bench) -> list[Row]:
    """Give a row a model and part of the set."""
    made, trained = learned(bench)
    frame = pl.DataFrame(pl.from_arrow(parquet.read(uri(made, "set"))))
    rows = {n: frame.filter(pl.col("split") == n) for n in ("train", *bench.span.parts)}
    description = json.loads(objects.read_text(uri(trained, "description")))
    spec = Spec.model_validate(description["spec"])
    network = OnnxModel(objects.read_bytes(uri(trained, "onnx")), spec)
    own = f"ours: {description['model']}"
    predictors: dict[str, tuple[Predict, float]] = {
        own: (network.predict, float(trained.values["fit_seconds"]))
    }
    for rival, fit in (("LightGBM", boosted), ("HistGradientBoosting", histogram)):
        began = time.monotonic()
        predictors[rival] = (fit(rows, spec, bench.threads), time.monotonic() - began)
    found = []
    for model, (predict, seconds) in predictors.items():
        for part, months in bench.span.parts.items():
            y = rows[part]["label"].to_numpy().astype(float)
            metrics = classification(y, predict(rows[part]))
            kept = {m: metrics[m] for m in RANGES}
            found.append(Row(model, part, months, kept, seconds, model == own))
    return found


def learned(bench: Bench) -> tuple[Result, Result]:
    """Assemble and train."""
    window = bench.span.window
    made = bench.task("assemble", "long", window=window)
    return made, bench.task("train", "long", needs=("assemble",))


def judged(bench: Bench) -> list[dict[str, Any]]:
    """Give what the product's own gates say."""
    bench.task("prove", "long", needs=("assemble",), window=bench.span.window)
    bench.task("baseline", "long", needs=("assemble",))
    bench.task("evaluate", "long", needs=("assemble", "prove", "train", "baseline"))
    found: list[dict[str, Any]] = bench.task("judge", "long", needs=("evaluate",)).values["gates"]
    return found


def broken(rows: Iterable[Row], gates: Iterable[Mapping[str, Any]]) -> list[str]:
    """Say which bounds are broken: ours on the test part, and nobody's AUC like a leak's."""
    said = []
    for row in rows:
        for metric, (least, most) in RANGES.items():
            came, held = row.metrics[metric], row.ours and row.part == "test"
            if (held and not least <= came <= most) or (metric == "roc_auc" and not came <= most):
                said.append(
                    f"{row.model}, {row.months}: {metric} {came:.4f}, wanted {least} to {most}"
                )
    return said + [
        f"gate {gate['gate']} does not pass: {gate['evidence']}"
        for gate in gates
        if not gate["passed"]
    ]


def table(rows: Iterable[Row], gates: Iterable[Mapping[str, Any]], about: Mapping[str, Any]) -> str:
    """Give figures, gates and circumstances in Markdown."""
    lines = [
        "| model | months | ROC AUC | log loss | ECE | seconds to fit |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        figures = " | ".join(f"{row.metrics[metric]:.4f}" for metric in RANGES)
        lines.append(f"| {row.model} | {row.months} | {figures} | {row.seconds:.0f} |")
    lines += ["", "| gate | passed | evidence |", "|---|---|---|"]
    for gate in gates:
        passed = "yes" if gate["passed"] else "**no**"
        lines.append(f"| `{gate['gate']}` | {passed} | {gate['evidence']} |")
    return "\n".join([*lines, "", circumstances(about)])


def written(page: str, text: str) -> str:
    """Give the page with the text between its marks."""
    begins, ends = MARKS
    before, _, rest = page.partition(begins)
    _, found, after = rest.partition(ends)
    if not found:
        raise ValueError(f"the page lacks a line {begins} or, below it, {ends}; set them again")
    return f"{before}{begins}\n\n{text}\n\n{ends}{after}"


def uri(result: Result, output: str) -> str:
    found = result.outputs[output].uri
    assert found is not None, f"{result.task}: output {output} is no object"
    return found


def boosted(rows: dict[str, pl.DataFrame], spec: Spec, threads: int) -> Predict:
    """Fit LightGBM; October says how many trees."""
    sorts = list(range(len(spec.numeric), len(spec.numeric) + len(spec.categorical)))
    train, validation = (
        lightgbm.Dataset(specs.matrix(part, spec), part["label"].to_numpy(), None,
                         categorical_feature=sorts)
        for part in (rows["train"], rows["validation"])
    )  # fmt: skip
    model = lightgbm.train(
        {**LIGHTGBM, "num_threads": threads},
        train,
        ROUNDS,
        valid_sets=[validation.set_reference(train)],
        callbacks=[lightgbm.early_stopping(WAIT, verbose=False)],
    )

    def predict(asked: pl.DataFrame) -> NDArray[np.float64]:
        found: NDArray[np.float64] = model.predict(specs.matrix(asked, spec))
        return found

    return predict


def histogram(rows: dict[str, pl.DataFrame], spec: Spec, _: int) -> Predict:
    return gradient_boosting.fit(rows["train"], spec, "label", 0)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write the page, and give 1 where a bound is broken."""
    parser = argparse.ArgumentParser(prog="python -m bench.quality")
    parser.add_argument("--home", type=Path, required=True, help="folder for the lake and the rest")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--try", dest="short", action="store_true", help="two months, no bounds")
    given = parser.parse_args(argv)
    given.home.mkdir(parents=True, exist_ok=True)
    bench = Bench(given.home.resolve(), given.threads, SHORT if given.short else LONG)
    bench.lake()
    rows, gates = measured(bench), judged(bench)
    text, said = table(rows, gates, bench.about), broken(rows, gates)
    print(text)
    if given.short:
        return 0
    PAGE.write_text(written(PAGE.read_text(), text))
    for one in said:
        print(f"broke a bound: {one}", file=sys.stderr)
    return int(bool(said))


if __name__ == "__main__":
    sys.exit(main())
