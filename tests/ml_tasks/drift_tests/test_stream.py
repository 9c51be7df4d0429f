from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from ml_tasks import drift_tests
from ml_tasks.errors import ConfigError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_tasks.drift_tests.kept import Kept

    Make = Callable[..., pa.Table]

PARAMS = {
    "online_mmd": {"expected_run": 200, "simulations": 2000, "window": 10},
    "online_cvm": {"expected_run": 200, "simulations": 2000, "windows": [10, 20]},
}


@pytest.fixture(scope="module", params=PARAMS)
def kept(request: pytest.FixtureRequest, made: Make) -> Kept:
    return drift_tests.fit(request.param, made(1000, 1), PARAMS[request.param], "alibi-detect")


def test_a_stream_that_moves_crosses_its_threshold(kept: Kept, made: Make) -> None:
    window = pa.concat_tables([made(40, 2), made(160, 3, 3.0)])
    drift = {one.column: one for one in kept.test(window)}[
        "*" if kept.told.test == "online_mmd" else "delay"
    ]
    assert drift.statistic > 2
    assert drift.p_value is None
    assert drift.rows == 200
    assert drift.first is not None
    assert 40 <= drift.first <= 80


def test_a_window_begins_anew(kept: Kept, made: Make) -> None:
    calm, moved = made(100, 4), made(100, 5, 3.0)
    before = kept.test(calm)
    kept.test(moved)
    assert kept.test(calm) == before


def test_own_looks(kept: Kept, made: Make) -> None:
    reference = made(1000, 1)
    looks = kept.own_looks(reference, pa.array(np.arange(1000) // 200))
    assert set(looks) == {drift.signal for drift in kept.test(reference)}
    for found in looks.values():
        assert list(found) == [0, 1, 2, 3, 4]
        assert np.isfinite(list(found.values())).all()


def test_long_windows_are_thinned_out(kept: Kept, made: Make) -> None:
    drifts = kept.test(made(5000, 6))
    assert {drift.rows for drift in drifts} == {500}


def test_what_is_missing_is_no_step(made: Make) -> None:
    kept = drift_tests.fit("online_cvm", made(1000, 1), PARAMS["online_cvm"], "alibi-detect")
    window = made(200, 7)
    rows = {drift.column: drift.rows for drift in kept.test(window)}
    assert rows == {"delay": 200, "hour": 200, "wind": 200 - window["wind"].null_count}
    few = {drift.column for drift in kept.test(made(10, 8))}
    assert few == {"delay", "hour"}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"simulations": 500}, "3000 at least: fewer do not tell a threshold"),
        ({"windows": [20, 20]}, "each greater than the one before"),
    ],
)
def test_parameters(params: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        drift_tests.params_of("online_cvm", params, "alibi-detect")


def test_references_that_do_not_do(made: Make) -> None:
    words = PARAMS["online_cvm"]
    with pytest.raises(ConfigError, match="has numbers; online_mmd looks at texts too"):
        drift_tests.fit("online_cvm", pa.table({"x": ["a"]}), words, "alibi-detect")
    with pytest.raises(RejectedError, match="100 numbers in the reference"):
        drift_tests.fit("online_cvm", made(90, 1), words, "alibi-detect")
    with pytest.raises(RejectedError, match="90 rows, wanted 100"):
        drift_tests.fit("online_mmd", made(90, 1), PARAMS["online_mmd"], "alibi-detect")
