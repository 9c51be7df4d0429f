"""What it costs to compare a window with a reference.

20 features of five shapes, half of them moved a little in the window. Ours is `Kept.test`, fitted
before as it is when a version is trained, from the Arrow table to statistics and p-values; scipy's
`ks_2samp` and alibi-detect's unchanged `KSDrift` take NumPy arrays and sort the reference for every
window. evidently (`DataDriftPreset` with `ks`) and nannyml (`UnivariateDriftCalculator` with
`kolmogorov_smirnov`, fitted before) run in environments of their own, on the same numbers. Ours has
to give scipy's statistics to 1e-12 and p-values to 1e-9 or the bench ends. Then each test holds one
day of 900 rows against the reference, with both engines; of the four that compare columns apart,
the peer is alibi-detect's unchanged detector. All figures are processor time.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from bench import ROOT
from bench.measured import Measured
from ml_tasks import drift_tests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

ROWS, FEATURES, DAY = 100_000, 20, 900
REPETITIONS = 7
PROMISED = 1 / 5
PEERS = {"evidently": ".venv-bench", "nannyml": ".venv-nannyml"}
APART = {"ks": "KSDrift", "cvm": "CVMDrift", "tabular": "TabularDrift"}
TOGETHER = ("mmd", "lsdd", "classifier")


def measure(folder: Path) -> Iterator[Measured]:
    """Measure KS beside all, then each test with both engines."""
    reference, window = made(np.random.default_rng(1), 0.0), made(np.random.default_rng(2), 0.03)
    yield from large(reference, window, folder)
    yield from small(reference, window[:DAY])


def made(dice: np.random.Generator, moved: float) -> Matrix:
    """Make columns of five shapes; every second one is moved by a share of its spread."""
    shapes: tuple[Callable[[], Any], ...] = (
        lambda: dice.normal(size=ROWS),
        lambda: dice.lognormal(0, 1, ROWS),
        lambda: dice.gamma(2, 3, ROWS),
        lambda: dice.integers(0, 1440, ROWS).astype(float),
        lambda: dice.standard_t(3, ROWS),
    )
    columns = [shapes[place % len(shapes)]() for place in range(FEATURES)]
    return np.column_stack(
        [one + moved * one.std() * (place % 2) for place, one in enumerate(columns)]
    )


def table(rows: Matrix) -> pa.Table:
    return pa.table({f"f{place}": np.ascontiguousarray(one) for place, one in enumerate(rows.T)})


def large(reference: Matrix, window: Matrix, folder: Path) -> Iterator[Measured]:
    from scipy.stats import ks_2samp

    from ml_tasks.drift_tests.detectors import named

    columns, others = (np.ascontiguousarray(rows.T) for rows in (reference, window))
    whole, came = table(reference), table(window)
    began = time.process_time()
    kept = drift_tests.fit("ks", whole, {}, "scipy")
    fitted = time.process_time() - began
    detector = named("KSDrift")(reference)
    work: dict[str, Callable[[], Any]] = {
        "ours": lambda: kept.test(came),
        "scipy": lambda: [ks_2samp(*each) for each in zip(columns, others, strict=True)],
        "alibi-detect": lambda: detector.predict(window, drift_type="feature"),
    }
    found = in_turn(work)
    wanted = work["scipy"]()
    drifts = [one for one in work["ours"]() if one.of == "values"]
    off = [
        max(abs(getattr(one, ours) - float(getattr(other, theirs))) for one, other in
            zip(drifts, wanted, strict=True))
        for ours, theirs in (("statistic", "statistic"), ("p_value", "pvalue"))
    ]  # fmt: skip
    assert off[0] <= 1e-12, off
    assert off[1] <= 1e-9, off
    theirs = work["alibi-detect"]()["data"]
    assert np.allclose(theirs["p_val"], [one.pvalue for one in wanted], rtol=1e-5, atol=1e-7)
    called = sum(one.pvalue < 0.05 for one in wanted)
    what = f"KS of {FEATURES} features x {ROWS:,} rows"
    note = (
        f"p < 0.05 in the same {called} features; statistics at most {off[0]:.0e} apart, p-values "
        f"{off[1]:.0e}; fitted once in {fitted:.2f} s"
    )
    yield Measured(what, found["ours"], "scipy", found["scipy"], "ms CPU", PROMISED, note)
    yield Measured(what, found["ours"], "alibi-detect", found["alibi-detect"], "ms CPU")
    yield from apart(what, found["ours"], [one.statistic for one in wanted],
                     (reference, window), folder)  # fmt: skip


def apart(
    what: str, ours: float, wanted: list[float], rows: tuple[Matrix, Matrix], folder: Path
) -> Iterator[Measured]:
    """Measure peers in environments of their own."""
    file = folder / "rows.npz"
    np.savez(file, reference=rows[0], window=rows[1])
    for peer, environment in PEERS.items():
        python = ROOT / environment / "bin" / "python"
        words = (str(python), "bench/drift_peers.py", peer, str(file))
        env = {**os.environ, "NML_DISABLE_USAGE_LOGGING": "1"}  # noqa: TID251 - a child's
        done = subprocess.run(  # noqa: S603 - our own words
            words, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True
        )
        said = json.loads(done.stdout.splitlines()[-1])
        name = f"{peer} {said['version']}"
        off = max(abs(one - other) for one, other in zip(said["found"], said["wanted"] or wanted,
                                                        strict=True))  # fmt: skip
        note = f"{peer}'s {said['what']} are at most {off:.0e} from scipy's"
        yield Measured(what, ours, name, 1000 * said["seconds"], "ms CPU", note=note)


def small(reference: Matrix, day: Matrix) -> Iterator[Measured]:
    """Hold one day against the reference by each test."""
    from ml_tasks.drift_tests.detectors import named

    whole, came = table(reference), table(day)
    for name, kind in APART.items():
        words: dict[str, Any] = {"categories_per_feature": {}} if name == "tabular" else {}
        theirs = named(kind)(reference, **words)
        kept = drift_tests.fit(name, whole, {}, "scipy")
        yield one_day(
            name, partial(kept.test, came), partial(theirs.predict, day, drift_type="feature")
        )
    yield chi_square()
    for name in TOGETHER:
        ours, alibis = (
            drift_tests.fit(name, whole, {}, engine) for engine in ("scipy", "alibi-detect")
        )
        yield one_day(name, partial(ours.test, came), partial(alibis.test, came))


def chi_square() -> Measured:
    from ml_tasks.drift_tests.detectors import named

    dice = np.random.default_rng(3)
    codes = dice.integers(0, 100, (ROWS, FEATURES))
    words = np.array([f"c{code:02}" for code in range(100)])
    reference = pa.table({f"f{place}": words[one] for place, one in enumerate(codes.T)})
    theirs = named("ChiSquareDrift")(codes)
    kept = drift_tests.fit("chi_square", reference, {}, "scipy")
    return one_day(
        "chi_square", lambda: kept.test(reference[:DAY]),
        lambda: theirs.predict(codes[:DAY], drift_type="feature"),
    )  # fmt: skip


def one_day(name: str, ours: Callable[[], object], theirs: Callable[[], object]) -> Measured:
    found = in_turn({"ours": ours, "theirs": theirs})
    what = f"`{name}`: {DAY} rows against {ROWS:,}"
    return Measured(what, found["ours"], "alibi-detect", found["theirs"], "ms CPU")


def in_turn(work: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Give the median milliseconds of the processor of each; the first time does not count."""
    spent: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(REPETITIONS + 1):
        for name, run in work.items():
            began = time.process_time()
            run()
            spent[name].append(1000 * (time.process_time() - began))
    return {name: statistics.median(each[1:]) for name, each in spent.items()}
