"""Two runs of one loop, and what is said where they part."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
import yaml

from ml_tasks import config
from ml_tasks.config import Environment
from ml_tasks.errors import ConfigError
from ml_tasks.flow import step
from ml_tasks.io.control import Control
from perennial import new_product, parity, runner
from perennial.__main__ import main
from perennial.difference import Side

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ml_tasks.config import Pipeline

    Run = Callable[..., Side]
    Place = Callable[..., tuple[Environment, Pipeline]]

DAYS, EACH = 60, 40
WINDOW = "2024-01-01/2024-03-01"
OTHER_COSINE = """
import math
true = math.cos
math.cos = lambda x: true(x) * (1 + 1e-9)
"""


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A product of a table with two numbers, a word and a label."""
    root = tmp_path_factory.mktemp("parity")
    draw = np.random.default_rng(1)
    rows = DAYS * EACH
    one, two = draw.normal(size=(2, rows))
    minutes = pl.Series("minutes", np.arange(rows) * 24 * 60 // EACH)
    table = pl.DataFrame(
        {
            "at": minutes,
            "one": one,
            "two": two,
            "word": draw.choice(["a", "b", "c"], rows),
            "good": (one + two * draw.normal(size=rows) > 0).tolist(),
        }
    ).with_columns(at=pl.datetime(2024, 1, 1, time_zone="UTC") + pl.duration(minutes="at"))
    table.write_csv(root / "good.csv", datetime_format="%Y-%m-%dT%H:%M:%SZ")
    environment = Environment(home=root / "home", pipelines=root / "pipelines")
    wish = new_product.Wish("good", str(root / "good.csv"), "good", event_time="at")
    assert new_product.run(environment, wish) == 0
    return environment


@pytest.fixture(scope="module")
def place(product: Environment, tmp_path_factory: pytest.TempPathFactory) -> Place:
    def made(name: str, change: Callable[[str], str] = str) -> tuple[Environment, Pipeline]:
        home = tmp_path_factory.mktemp(name)
        pipelines = home / "pipelines"
        pipelines.mkdir()
        text = (product.pipelines / "good.yaml").read_text()
        (pipelines / "good.yaml").write_text(change(text))
        environment = Environment(home=home, pipelines=pipelines, landing=product.landing_root)
        return environment, config.load("good", pipelines)

    return made


@pytest.fixture(scope="module")
def run(place: Place) -> Run:
    """Goes through the whole loop."""

    def side(name: str, change: Callable[[str], str] = str) -> Side:
        return parity.run_side(name, *place(name, change), WINDOW)

    return side


@pytest.fixture(scope="module")
def base(run: Run) -> Side:
    return run("base")


@pytest.fixture(scope="module")
def redo(base: Side, place: Place) -> Run:
    """Does one task once more, on what the base has made; all else is the base's."""

    def side(name: str, task: str, change: Callable[[str], str] = str) -> Side:
        environment, pipeline = place(name, change)
        made = base.environment.home / "objects"
        without = shutil.ignore_patterns(task)
        shutil.copytree(made, environment.home / "objects", ignore=without)
        Control(environment.control).migrate()
        done = runner.run_task(
            environment, pipeline, step(task), run="parity", window=WINDOW,
            on_line=lambda _line: None,
        )  # fmt: skip
        assert done.outcome.result is not None, done.outcome.message
        return Side(name, environment, {**base.results, task: done.outcome.result})

    return side


def told(base: Side, other: Side, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    code = parity.compare(base, other)
    return code, capsys.readouterr().err


def test_the_same_again_is_equal(base: Side, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(base, run("again"), capsys) == (0, "")


def test_another_seed(base: Side, redo: Run, capsys: pytest.CaptureFixture[str]) -> None:
    other = redo("seed", "train", lambda text: text.replace("seed: 7", "seed: 8"))
    code, said = told(base, other, capsys)
    assert code == 65
    assert "first difference: task train, output model: tensor" in said
    assert "why: settings: " in said


def test_another_cpu(
    base: Side, redo: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    code, said = told(base, redo("default", "train"), capsys)
    assert code == 65
    assert "first difference: task train, output model: tensor" in said
    (why,) = [line for line in said.splitlines() if line.startswith("why")]
    assert "default on default" in why


def test_other_packages(
    base: Side,
    redo: Run,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A package that is in one lock alone, and computes otherwise."""
    (tmp_path / "cosine-2.0.dist-info").mkdir()
    (tmp_path / "sitecustomize.py").write_text(OTHER_COSINE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code, said = told(base, redo("lock", "train"), capsys)
    assert code == 65
    assert "first difference: task train, output model: tensor" in said
    (why,) = [line for line in said.splitlines() if line.startswith("why")]
    assert why.startswith("why: packages: ")


def test_other_threads(base: Side, redo: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Whether two threads sum up otherwise depends on the machine; that they are two is said."""
    two = {"resources": {"train": {"cpus": 2, "memory_gb": 4}}}
    other = redo("threads", "train", lambda text: yaml.safe_dump(yaml.safe_load(text) | two))
    code, said = told(base, other, capsys)
    assert (code == 0) == (said == "")
    from perennial import difference

    assert "threads: 1 on base, 2 on threads" in difference.why("train", base, other)


def test_other_data(
    base: Side, product: Environment, redo: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source = product.pipelines.parent / "good.csv"
    changed = tmp_path / "good.csv"
    lines = source.read_text().splitlines()
    first = lines[1].split(",")
    lines[1] = ",".join([first[0], "99.5", *first[2:]])
    changed.write_text("\n".join(lines) + "\n")
    other = redo("data", "ingest", lambda text: text.replace(str(source), str(changed)))
    code, said = told(base, other, capsys)
    assert code == 65
    assert "first difference: task ingest, output" in said
    assert "column one differs in 1 of" in said


def test_the_command_wants_two_places(
    product: Environment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(product.pipelines))
    monkeypatch.setenv("PERENNIAL_HOME", str(product.home))
    assert main(["parity", "good", "--window", WINDOW, "--in", "local,moon"]) == 78
    assert "wanted two of local, kubernetes" in capsys.readouterr().err
    assert main(["parity", "good", "--window", WINDOW]) == 78
    assert "wanted servers for the side in pods" in capsys.readouterr().err


def test_the_places_share_nothing(product: Environment) -> None:
    from perennial import apart

    with apart.places(product, ("local", "local"), "now", keep=False) as (one, two):
        homes: list[Any] = [one.home, two.home]
        assert len({one.control, two.control, one.warehouse_root, two.warehouse_root}) == 4
        homes[0].mkdir(parents=True)
    assert not homes[0].exists()
    with pytest.raises(ConfigError), apart.places(product, ("kubernetes",), "now", keep=False):
        pass
