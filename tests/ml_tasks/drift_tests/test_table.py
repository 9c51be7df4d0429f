"""What holds for all drift tests: their table, saving, seeds, engines."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from ml_tasks import drift_tests
from ml_tasks.drift_tests import TESTS
from ml_tasks.errors import ConfigError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Make = Callable[..., pa.Table]

FEW = {"expected_run": 20, "simulations": 200}
PARAMS = {
    "mmd": {"rows": 100, "seed": 3},
    "online_mmd": FEW | {"window": 5},
    "online_cvm": FEW | {"windows": [5]},
}
PAIRS = [(name, engine) for name, module in TESTS.items() for engine in module.ENGINES]


@pytest.mark.parametrize(("name", "engine"), PAIRS)
def test_what_is_loaded_says_the_same(name: str, engine: str, made: Make, tmp_path: Path) -> None:
    reference, window = made(400, 1), made(150, 2, 0.2)
    days = pa.array(np.arange(400) // 100)
    kept = drift_tests.fit(name, reference, PARAMS.get(name, {}), engine)
    kept.save(tmp_path / "drift" / name)
    loaded = drift_tests.load(tmp_path / "drift" / name)
    assert (loaded.told, loaded.rows, loaded.columns) == (kept.told, kept.rows, kept.columns)
    assert loaded.test(window) == kept.test(window)
    assert loaded.own_looks(reference, days) == kept.own_looks(reference, days)
    files = sorted((tmp_path / "drift" / name).iterdir())
    assert [file.name for file in files] == ["kept.json", "kept.npz"]


@pytest.mark.parametrize(("name", "engine"), PAIRS)
def test_generators_of_the_process_are_left_alone(name: str, engine: str, made: Make) -> None:
    import torch

    def drawn() -> tuple[float, float, float]:
        own = random.random()  # noqa: S311 - not for secrets
        return own, float(np.random.rand()), float(torch.rand(1))

    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(1)
    wanted, threads = drawn(), torch.get_num_threads()
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(1)
    drift_tests.fit(name, made(400, 1), PARAMS.get(name, {}), engine).test(made(150, 2))
    assert drawn() == wanted
    assert torch.get_num_threads() == threads


def test_no_object_is_read_from_a_folder(made: Make, tmp_path: Path) -> None:
    drift_tests.fit("ks", made(50, 1), {}, "scipy").save(tmp_path)
    np.savez(tmp_path / "kept.npz", **{"0.values": np.array([print])}, allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        drift_tests.load(tmp_path)


def test_another_format(made: Make, tmp_path: Path) -> None:
    drift_tests.fit("ks", made(50, 1), {}, "scipy").save(tmp_path)
    facts = json.loads((tmp_path / "kept.json").read_text())
    (tmp_path / "kept.json").write_text(json.dumps(facts | {"format": 99}))
    with pytest.raises(RejectedError, match="came format 99, wanted 1: train the version again"):
        drift_tests.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "params", "engine", "message"),
    [
        ("kss", {}, "scipy", r"monitoring.drift: came test 'kss', wanted one of \['chi_square'"),
        ("ks", {}, "scypi", r"engine 'scypi': wanted one of \['alibi-detect', 'scipy'\]"),
        (
            "online_mmd", {}, "scipy",
            r"online_mmd: the engine scipy lacks it; choose the engine alibi-detect, or one of "
            r"the tests \['ks', 'cvm', 'chi_square', 'tabular', 'profile', 'mmd', 'lsdd', "
            r"'classifier'\]",
        ),
        ("mmd", {"rowss": 5}, "scipy", "drift test mmd.*rowss"),
        ("ks", {"seed": 5}, "scipy", "drift test ks.*seed"),
    ],
)  # fmt: skip
def test_what_is_not_there(name: str, params: dict[str, object], engine: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        drift_tests.params_of(name, params, engine)


def test_nothing_heavy_is_imported_with_the_table() -> None:
    heavy = ("alibi_detect", "torch", "scipy", "sklearn", "numba", "pandas")
    code = f"import sys, ml_tasks.drift_tests; print([n for n in {heavy} if n in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
