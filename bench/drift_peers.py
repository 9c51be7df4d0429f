"""KS as a peer does it, in the peer's own environment: `drift_peers.py evidently|nannyml FILE`.

The file holds `reference` and `window`, rows by features. Prints the median processor seconds of
a window, and what was found by feature; of p-values also what scipy says.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import warnings
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Callable

REPETITIONS = {"evidently": 2, "nannyml": 7}


def evidently(reference: pd.DataFrame, window: pd.DataFrame) -> dict[str, Any]:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset
    from scipy.stats import ks_2samp

    told = DataDefinition(numerical_columns=list(reference.columns))
    own, other = (Dataset.from_pandas(each, told) for each in (reference, window))
    report = Report([DataDriftPreset(num_method="ks")])
    said, seconds = timed("evidently", lambda: report.run(other, own).dict())
    found = {
        one["config"]["column"]: float(one["value"])
        for one in said["metrics"]
        if "column" in one["config"]
    }
    return {
        "seconds": seconds,
        "what": "p-values",
        "found": [found[name] for name in reference],
        "wanted": [float(ks_2samp(reference[name], window[name]).pvalue) for name in reference],
    }


def nannyml(reference: pd.DataFrame, window: pd.DataFrame) -> dict[str, Any]:
    import nannyml as nml

    calculator = nml.UnivariateDriftCalculator(
        column_names=list(reference.columns),
        continuous_methods=["kolmogorov_smirnov"],
        chunk_size=len(window),
    )
    calculator.fit(reference)
    said, seconds = timed("nannyml", lambda: calculator.calculate(window))
    rows = said.filter(period="analysis").to_df()
    found = [float(rows[name, "kolmogorov_smirnov", "value"].iloc[0]) for name in reference]
    return {"seconds": seconds, "what": "statistics, by bins,", "found": found, "wanted": None}


def timed(peer: str, run: Callable[[], Any]) -> tuple[Any, float]:
    """Give what it says, and the median processor seconds."""
    seconds = []
    for _ in range(REPETITIONS[peer]):
        began = time.process_time()
        said = run()
        seconds.append(time.process_time() - began)
    return said, statistics.median(seconds)


def main(peer: str, file: str) -> None:
    warnings.simplefilter("ignore")
    with np.load(file) as found:
        reference, window = (
            pd.DataFrame(
                found[part], columns=[f"f{place}" for place in range(found[part].shape[1])]
            )
            for part in ("reference", "window")
        )
    said = {"evidently": evidently, "nannyml": nannyml}[peer](reference, window)
    print(json.dumps({**said, "version": version(peer)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
