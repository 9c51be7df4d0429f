"""What nannyml estimates on made data, kept for the tests of our own few lines.

    .venv-nannyml/bin/python bench/nannyml_figures.py

Writes `tests/ml_tasks/monitoring/nannyml.json`. Tests make the same data anew from the seed, by the
functions here, which need numpy alone.
"""

from __future__ import annotations

import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Columns = dict[str, NDArray[np.generic]]

FILE = Path(__file__).parent.parent / "tests" / "ml_tasks" / "monitoring" / "nannyml.json"
SEED, REFERENCE, WINDOW = 20130901, 4000, 1000
SHIFTS = (0.0, 0.6, -0.9)
"""By how much the inputs of each window are moved."""
CASES = {"true": (1.0, True), "overconfident": (2.2, True), "believed": (2.2, False)}
"""By case: what the log odds are multiplied with, and whether nannyml may calibrate."""
WORDS = np.array(["AA", "B6", "UA"])
PACKAGES = ("nannyml", "numpy", "scikit-learn", "lightgbm", "pandas")
CLASSIFICATION = ("roc_auc", "accuracy", "precision", "recall", "f1")
REGRESSION = ("mae", "rmse")


def classified(sharpness: float) -> Columns:
    """Give predictions and labels: the reference's rows, then each window's."""
    dice = np.random.Generator(np.random.PCG64(SEED))
    x = dice.normal(size=len(_shifts())) + _shifts()
    odds = 1.4 * x - 1.1
    y = (dice.uniform(size=len(x)) < 1 / (1 + np.exp(-odds))).astype(float)
    return {"prediction": np.round(1 / (1 + np.exp(-sharpness * odds)), 9), "label": y}


def regressed() -> Columns:
    """Give inputs, predictions and labels, whose noise grows with the inputs."""
    dice = np.random.Generator(np.random.PCG64(SEED + 1))
    n = len(_shifts())
    x = np.round(dice.normal(size=n) + _shifts(), 6)
    z = np.round(dice.normal(size=n), 6)
    z[dice.uniform(size=n) < 0.05] = np.nan
    word = WORDS[dice.integers(0, len(WORDS), size=n)]
    noise = np.exp(0.5 * x) * np.where(word == "B6", 2.0, 1.0)
    prediction = np.round(3 * x + np.nan_to_num(z), 6)
    y = np.round(prediction + 0.3 * x**2 + noise * dice.normal(size=n), 6)
    return {"x": x, "z": z, "word": word, "prediction": prediction, "label": y}


def means(columns: Columns) -> dict[str, float]:
    """Give what tells whether two makings of the data are the same."""
    return {k: float(np.nanmean(v)) for k, v in columns.items() if v.dtype.kind == "f"}


def _shifts() -> NDArray[np.float64]:
    return np.concatenate([np.zeros(REFERENCE), np.repeat(SHIFTS, WINDOW)])


def _estimated(result: pd.DataFrame, metrics: tuple[str, ...]) -> list[dict[str, float]]:
    return [
        {name: float(window[(name, "value")]) for name in metrics}
        for _, window in result.iterrows()
    ]


def cbpe(sharpness: float, may_calibrate: bool) -> dict[str, object]:
    import nannyml
    import pandas as pd
    from nannyml.calibration import IsotonicCalibrator, NoopCalibrator

    made = classified(sharpness)
    rows = pd.DataFrame({**made, "said": (made["prediction"] >= 0.5).astype(int)})
    estimator = nannyml.CBPE(
        y_pred_proba="prediction", y_pred="said", y_true="label", metrics=list(CLASSIFICATION),
        problem_type="classification_binary", chunk_size=WINDOW,
        calibrator=IsotonicCalibrator() if may_calibrate else NoopCalibrator(),
    )  # fmt: skip
    estimator.fit(rows[:REFERENCE])
    found = estimator.estimate(rows[REFERENCE:].drop(columns="label")).filter(period="analysis")
    return {
        "means": means(made),
        "calibrated": bool(estimator.needs_calibration),
        "windows": _estimated(found.to_df(), CLASSIFICATION),
    }


def dle() -> dict[str, object]:
    import nannyml
    import pandas as pd

    made = regressed()
    rows = pd.DataFrame(made)
    estimator = nannyml.DLE(
        feature_column_names=["x", "z", "word"], y_pred="prediction", y_true="label",
        metrics=list(REGRESSION), chunk_size=WINDOW,
    )  # fmt: skip
    estimator.fit(rows[:REFERENCE])
    found = estimator.estimate(rows[REFERENCE:].drop(columns="label")).filter(period="analysis")
    return {"means": means(made), "windows": _estimated(found.to_df(), REGRESSION)}


def main() -> None:
    # Both are read when nannyml is imported: without them it reports its use, and threads race.
    os.environ |= {"NML_DISABLE_USAGE_LOGGING": "1", "OMP_NUM_THREADS": "1"}  # noqa: TID251
    figures = {
        "packages": {name: version(name) for name in PACKAGES},
        "seed": SEED,
        "cbpe": {case: cbpe(*told) for case, told in CASES.items()},
        "dle": dle(),
    }
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(f"{json.dumps(figures, indent=2)}\n")


if __name__ == "__main__":
    main()
