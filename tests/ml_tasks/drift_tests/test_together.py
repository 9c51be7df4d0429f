from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from ml_tasks import drift_tests
from ml_tasks.drift_tests import kernel, mmd, together
from ml_tasks.drift_tests.encoding import APART, LIMIT, Encoding
from ml_tasks.errors import RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable

    Make = Callable[..., pa.Table]

NAMES = ("mmd", "lsdd", "classifier")
ENGINES = ("scipy", "alibi-detect")
SMALL = {"rows": 200}


@pytest.mark.parametrize("name", NAMES)
def test_engines_agree_on_verdicts(name: str, made: Make) -> None:
    reference = made(1000, 1)
    kept = [drift_tests.fit(name, reference, SMALL, engine) for engine in ENGINES]
    for shift, seed in ((0.0, 2), (0.0, 3), (0.7, 4)):
        window = made(400, seed, shift)
        for one in kept:
            (drift,) = one.test(window)
            assert drift.signal == ("*", "values")
            assert drift.rows == 200
            assert (drift.p_value <= 0.02) == (shift > 0), (one.told.engine, drift)
            assert one.test(window) == (drift,)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NAMES)
def test_own_looks_are_small_and_a_day_apart_stands_out(name: str, engine: str, made: Make) -> None:
    reference = pa.concat_tables([made(600, 1), made(100, 2, 1.5)])
    days = pa.array(np.repeat(np.arange(7), 100))
    looks = drift_tests.fit(name, reference, SMALL, engine).own_looks(reference, days)
    found = looks["*", "values"]
    assert list(found) == list(range(7))
    assert max(found, key=lambda day: found[day]) == 6
    assert found[6] > 2 * sorted(found.values())[-2]


def test_a_look_leaves_out_the_rows_of_its_day(made: Make) -> None:
    reference = made(300, 1)
    days = pa.array(np.arange(300) // 100)
    kept = drift_tests.fit("mmd", reference, {"rows": 300}, "scipy")
    encoding = Encoding.of(reference, 20)
    points = encoding.points(reference)
    wanted, _ = mmd.compare(points[100:], points[:100], mmd.Params(rows=300), "scipy", alone=True)
    assert kept.own_looks(reference, days)["*", "values"][0] == pytest.approx(wanted)


def test_discrepancy_is_the_unbiased_one() -> None:
    dice = np.random.default_rng(0)
    x, y = dice.normal(size=(30, 3)).astype(np.float32), dice.normal(1, 1, (20, 3)).astype("f")
    found, _ = mmd.compare(x, y, mmd.Params(), "scipy", alone=True)
    width = kernel.bandwidth(kernel.squared_distances(x, x))

    def mean(one: np.ndarray, other: np.ndarray, *, same: bool) -> float:
        apart = ((one[:, None].astype(float) - other[None].astype(float)) ** 2).sum(axis=2)
        similar = np.exp(-apart / (2 * width**2))
        return similar[~np.eye(len(one), dtype=bool)].mean() if same else similar.mean()

    wanted = mean(x, x, same=True) + mean(y, y, same=True) - 2 * mean(x, y, same=False)
    assert found == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("name", ["mmd", "lsdd"])
def test_p_values_are_as_often_small_as_they_say(name: str) -> None:
    dice = np.random.default_rng(5)
    reference = pa.table({"x": dice.normal(size=400)})
    params = {"rows": 60, "permutations": 40}
    p_values = [
        drift_tests.fit(name, reference, params | {"seed": seed}, "scipy")
        .test(pa.table({"x": dice.normal(size=60)}))[0]
        .p_value
        for seed in range(200)
    ]
    assert 0.02 <= np.mean(np.array(p_values) <= 0.1) <= 0.2


@pytest.mark.parametrize("name", NAMES)
def test_a_change_that_no_column_shows_by_itself(name: str) -> None:
    dice = np.random.default_rng(6)

    def rows(together: float) -> pa.Table:
        x, own = dice.normal(size=(2, 800))
        return pa.table({"x": x, "y": together * x + (1 - together**2) ** 0.5 * own})

    reference, window = rows(0.9), rows(-0.9)
    apart = drift_tests.fit("ks", reference, {}, "scipy").test(window)
    assert min(drift.p_value for drift in apart) > 0.01
    (drift,) = drift_tests.fit(name, reference, {}, "scipy").test(window)
    assert drift.p_value < 0.01


@pytest.mark.parametrize("name", NAMES)
def test_constant_rows(name: str) -> None:
    same = pa.table({"x": [1.0] * 50, "y": ["a"] * 50})
    (drift,) = drift_tests.fit(name, same, {}, "scipy").test(same)
    assert drift.statistic == pytest.approx(0, abs=1e-9)
    assert drift.p_value == 1


def test_too_few_rows() -> None:
    rows = pa.table({"x": np.arange(50.0)})
    with pytest.raises(RejectedError, match="lsdd: the reference has 30 rows, wanted 40 at least"):
        drift_tests.fit("lsdd", rows[:30], {}, "scipy")
    kept = drift_tests.fit("lsdd", rows, {}, "scipy")
    assert kept.test(rows[:39]) == ()


def test_points() -> None:
    reference = pa.table(
        {
            "x": [0.0, 2.0, None, 1.0],
            "word": ["a", "b", "c", "a"],
            "at": pa.array([1, 2, 3, 4], pa.timestamp("us")),
        }
    )
    encoding = Encoding.of(reference, 2)
    assert encoding.columns == ("x", "word")
    assert encoding == Encoding.from_facts(encoding.facts())
    window = pa.table(
        {"x": [float("inf"), None, 1.0, 1.0, -1e300], "word": ["a", "b", "c", "new", None]}
    )
    x, *marks = encoding.points(window).T
    assert x.tolist() == [LIMIT, 0, 0, 0, -LIMIT]
    # a, b, every other one of the reference, and what it lacks
    wanted = [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 1, 0]]
    assert np.allclose(marks, APART * np.array(wanted))


def test_draws_are_the_same_again() -> None:
    assert together.draw(5, 9, 0).tolist() == [0, 1, 2, 3, 4]
    assert together.draw(1000, 9, 0).tolist() == together.draw(1000, 9, 0).tolist()
    assert together.draw(1000, 9, 0).tolist() != together.draw(1000, 9, 1).tolist()
