"""Holds our model against LightGBM and scikit-learn on the same features, over a whole year.

    .venv/bin/python bench/quality.py --home FOLDER

Trains on January to September 2013, chooses on October, tests on November and December, all by
the tasks' own command lines. What a former call has done in FOLDER is not done again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import lightgbm
import polars as pl
import yaml

from ml_tasks.baselines import gradient_boosting
from ml_tasks.config import ROOT, Environment
from ml_tasks.io import objects
from ml_tasks.models import spec as specs
from ml_tasks.models.predict import OnnxModel
from ml_tasks.models.spec import Spec
from ml_tasks.training.metrics import classification

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ml_tasks.baselines import Predict
    from ml_tasks.result import Result

PRODUCT = "flight_delays"
YEAR = "2013-01-01/2014-01-01"
SPLIT = {"validation_days": 31, "test_days": 61, "gap_days": 0}
MONTHS = [f"2013-{month:02}-01" for month in range(1, 13)] + ["2014-01-01"]
PARTS = {"validation": "October", "test": "November and December"}
LIGHTGBM = {
    "objective": "binary", "learning_rate": 0.05, "num_leaves": 63, "min_child_samples": 100,
    "feature_fraction": 0.5, "bagging_fraction": 0.8, "bagging_freq": 1, "lambda_l2": 5.0,
    "seed": 1, "deterministic": True, "verbose": -1,
}  # fmt: skip
ROUNDS, WAIT = 1500, 60


class Bench:
    """One folder with a lake of the year, a set, and a trained model."""

    def __init__(self, home: Path, threads: int) -> None:
        """Write the product's YAML with the long split into the folder."""
        self.environment = Environment(home=home, pipelines=home / "pipelines")
        self.results = f"{self.environment.objects_root}/bench"
        self.threads = threads
        product = yaml.safe_load((ROOT / f"ml_tasks/pipelines/{PRODUCT}.yaml").read_text())
        product["split"], product["training"]["threads"] = SPLIT, threads
        self.environment.pipelines.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(product, sort_keys=False)
        (self.environment.pipelines / f"{PRODUCT}.yaml").write_text(text)

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
        """Bring in the year, month by month."""
        for start, end in pairwise(MONTHS):
            run, window = f"month-{start}", f"{start}/{end}"
            self.task("ingest", run, window=window)
            self.task("validate", run, window=window, needs=("ingest",))
            self.task("derive", run, window=window)


def measured(bench: Bench) -> list[dict[str, object]]:
    """Give a row a model and part of the set."""
    made = bench.task("assemble", "long", window=YEAR)
    trained = bench.task("train", "long", needs=("assemble",))
    frame = pl.DataFrame(pl.from_arrow(objects.read_parquet(uri(made, "set"))))
    rows = {n: frame.filter(pl.col("split") == n) for n in ("train", *PARTS)}
    description = json.loads(objects.read_text(uri(trained, "description")))
    spec = Spec.model_validate(description["spec"])
    name = description["model"]
    network = OnnxModel(objects.read_bytes(uri(trained, "onnx")), spec)
    predictors: dict[str, tuple[Predict, float]] = {
        f"ours: {name}": (network.predict, float(trained.values["fit_seconds"]))
    }
    for rival, fit in (("LightGBM", boosted), ("HistGradientBoosting", histogram)):
        began = time.monotonic()
        predictors[rival] = (fit(rows, spec, bench.threads), time.monotonic() - began)
    found: list[dict[str, object]] = []
    for model, (predict, seconds) in predictors.items():
        for part, months in PARTS.items():
            y = rows[part]["label"].to_numpy().astype(float)
            metrics = classification(y, predict(rows[part]))
            kept = {m: metrics[m] for m in ("roc_auc", "log_loss", "ece")}
            found.append({"model": model, "months": months, **kept, "fit_seconds": seconds})
    return found


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--home", type=Path, required=True, help="folder for the lake and the rest")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    bench = Bench(given.home.resolve(), given.threads)
    bench.lake()
    print("| model | months | ROC AUC | log loss | ECE | seconds to fit |")
    print("|---|---|---|---|---|---|")
    for row in measured(bench):
        print(
            f"| {row['model']} | {row['months']} | {row['roc_auc']:.4f} | {row['log_loss']:.4f} "
            f"| {row['ece']:.4f} | {row['fit_seconds']:.0f} |"
        )


if __name__ == "__main__":
    main()
