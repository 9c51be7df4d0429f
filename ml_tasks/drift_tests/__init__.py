"""Drift tests: a test is a file here and one line in `TESTS`.

A test is fitted with a version's reference, a table of its features (or predictions, or labels), is
saved with the version, and then held against one window after the other:

    kept = fit("ks", reference, params, "scipy")
    kept.save(folder)
    drifts = load(folder).test(window)
    looks = kept.own_looks(reference, days)

What each module offers, and what holds for all of them:

- `SEES` says what it looks at: columns of numbers, of texts, both (`table`), or rows in their order
  (`stream`). Other columns of the reference are left alone; where none is left, a `ConfigError`
  says so. `ENGINES` says whose code can do it, `Params` is the model of its parameters.
- `Kept.test` gives one `Drift` a signal: a column's values, how many of them are missing, how it
  goes together with the others, or all columns together as `*`. A larger statistic is worse. The
  p-value takes rows for independent, which rows of one day seldom are: rank the statistic among
  `own_looks` instead.
- `Kept.own_looks` gives by signal and day of the reference what `test` would have said of that day
  against the other days.
- Null and NaN are no part of a comparison of numbers. Tests that take each column by itself report
  their share as a signal of its own; tests on all columns together put them at the column's mean. A
  text that the reference does not have counts as a category of its own. Infinities are numbers.
- The same reference, parameters and window give the same answer: whatever is random has its seed
  in the parameters, and the process's own generators are left as they were.
- What is saved is numbers and JSON, also for alibi-detect, whose detectors are made of it anew: its
  own format opens what a file names, by dill or joblib too, and so runs whatever code lies there;
  and it simulates an online detector's thresholds again at each load.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol, cast, get_args

import numpy as np

from ml_tasks.config import hold
from ml_tasks.drift_tests import (
    chi_square,
    classifier,
    cvm,
    ks,
    lsdd,
    mmd,
    online_cvm,
    online_mmd,
    profile,
    tabular,
)
from ml_tasks.drift_tests.kept import ARRAYS, FACTS, FORMAT, DriftParams, Engine, State, Told
from ml_tasks.errors import ConfigError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pyarrow as pa

    from ml_tasks.drift_tests.kept import Kept


class _TestModule(Protocol):
    @property
    def Params(self) -> type[DriftParams]: ...  # noqa: N802 - the name of a class

    @property
    def SEES(self) -> str: ...  # noqa: N802 - a constant

    @property
    def ENGINES(self) -> tuple[str, ...]: ...  # noqa: N802 - a constant

    def fit(self, reference: pa.Table, told: Told) -> Kept: ...

    def restore(self, state: State, told: Told, rows: int) -> Kept: ...


TESTS: dict[str, _TestModule] = {
    "ks": ks,
    "cvm": cvm,
    "chi_square": chi_square,
    "tabular": tabular,
    "profile": profile,
    "mmd": mmd,
    "lsdd": lsdd,
    "classifier": classifier,
    "online_mmd": online_mmd,
    "online_cvm": online_cvm,
}


def params_of(name: str, params: Mapping[str, Any], engine: str) -> DriftParams:
    """Hold a test's name, engine and parameters against what there is.

    Raises:
        ConfigError: There is no such test or engine, the engine lacks the test, or the parameters
            do not fit.
    """
    if name not in TESTS:
        raise ConfigError(f"monitoring.drift: came test {name!r}, wanted one of {sorted(TESTS)}")
    if engine not in get_args(Engine):
        raise ConfigError(f"drift engine {engine!r}: wanted one of {sorted(get_args(Engine))}")
    module = TESTS[name]
    if engine not in module.ENGINES:
        others = [other for other, one in TESTS.items() if engine in one.ENGINES]
        raise ConfigError(
            f"drift test {name}: the engine {engine} lacks it; choose the engine "
            f"{' or '.join(module.ENGINES)}, or one of the tests {others}"
        )
    return hold(module.Params, params, f"drift test {name}")


def fit(
    name: str, reference: pa.Table, params: Mapping[str, Any], engine: Engine = "alibi-detect"
) -> Kept:
    """Keep of a reference what a test needs.

    Args:
        name: One of `TESTS`.
        reference: Columns of features; those that the test does not look at are left alone.
        params: The test's own parameters.
        engine: Whose test it is.

    Raises:
        ConfigError: Name, engine or parameters do not fit, or no column can be compared.
        RejectedError: The reference has too few rows.
    """
    return TESTS[name].fit(reference, Told(name, engine, params_of(name, params, engine)))


def load(folder: Path) -> Kept:
    """Read what `Kept.save` wrote; no code comes from the folder.

    Raises:
        RejectedError: It was written in another format.
    """
    facts = json.loads((folder / FACTS).read_text())
    if facts["format"] != FORMAT:
        raise RejectedError(
            f"{folder / FACTS}: came format {facts['format']}, wanted {FORMAT}: train the version "
            "again, or read it with the release that wrote it"
        )
    name, engine = facts["test"], cast("Engine", facts["engine"])
    told = Told(name, engine, params_of(name, facts["params"], engine))
    with np.load(folder / ARRAYS, allow_pickle=False) as found:
        state = State(dict(found), facts["state"])
    return TESTS[name].restore(state, told, facts["rows"])
