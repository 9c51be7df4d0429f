"""Two runs of one loop, and what is said where they part."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import yaml

from ml_tasks import config
from ml_tasks.config import Environment
from ml_tasks.errors import ConfigError
from ml_tasks.flow import step
from ml_tasks.io import objects, parquet
from ml_tasks.io.control import Control
from perennial import difference, new_product, parity, runner
from perennial.__main__ import main
from perennial.difference import Side

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ml_tasks.config import Pipeline

    Run = Callable[..., Side]
    Place = Callable[..., tuple[Environment, Pipeline]]

DAYS, EACH = 60, 40
TIMES = 30
"""So many times the rows make one batch that two threads add up otherwise than one."""
SUMS = 8
"""So many of them are taken: of one the last bit may be the same."""
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
def place(
    product: Environment, tmp_path_factory: pytest.TempPathFactory, warm_socket: Path
) -> Place:
    def made(name: str, change: Callable[[str], str] = str) -> tuple[Environment, Pipeline]:
        home = tmp_path_factory.mktemp(name)
        pipelines = home / "pipelines"
        pipelines.mkdir()
        text = (product.pipelines / "good.yaml").read_text()
        (pipelines / "good.yaml").write_text(change(text))
        told = {"landing": product.landing_root, "warm_socket": warm_socket}
        environment = Environment.model_validate({"home": home, "pipelines": pipelines} | told)
        return environment, config.load("good", pipelines)

    return made


@pytest.fixture(scope="module")
def run(place: Place) -> Run:
    """Goes through the whole loop."""

    def side(name: str) -> Side:
        return parity.run_side(name, *place(name), WINDOW)

    return side


@pytest.fixture(scope="module")
def base(run: Run) -> Side:
    return run("base")


@pytest.fixture(scope="module")
def redo(base: Side, place: Place) -> Run:
    """Does one task once more, on what the base has made; all else is the base's."""

    def side(
        name: str,
        task: str,
        change: Callable[[str], str] = str,
        prepare: Callable[[Environment], None] = lambda _environment: None,
        *,
        cold: bool = False,
    ) -> Side:
        environment, pipeline = place(name, change)
        if cold:  # what a variable changes is read where a process begins
            environment = environment.model_copy(update={"warm_socket": None})
        made = base.environment.home / "objects"
        without = shutil.ignore_patterns(task)
        shutil.copytree(made, environment.home / "objects", ignore=without)
        prepare(environment)
        Control(environment.control).migrate()
        done = runner.run_task(
            environment, pipeline, step(task), run="parity", window=WINDOW,
            on_line=lambda _line: None,
        )  # fmt: skip
        assert done.outcome.result is not None, done.outcome.message
        return Side(name, environment, pipeline, {**base.results, task: done.outcome.result})

    return side


def told(base: Side, other: Side, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    code = parity.compare(base, other)
    return code, capsys.readouterr().err


def whys(said: str) -> list[str]:
    lines = (line.partition("why: ") for line in said.splitlines())
    return [why for _, found, why in lines if found]


def test_the_same_again_is_equal(base: Side, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(base, run("again"), capsys) == (0, "")


def test_another_seed(base: Side, redo: Run, capsys: pytest.CaptureFixture[str]) -> None:
    other = redo("seed", "train", lambda text: text.replace("seed: 7", "seed: 8"))
    code, said = told(base, other, capsys)
    assert code == 65
    assert "first difference: task train, output model: tensor" in said
    assert whys(said) == ["training.seed: 7 on base, 8 on seed"]


def test_another_cpu(
    base: Side, redo: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    code, said = told(base, redo("default", "train", cold=True), capsys)
    assert code == 65
    assert "first difference: task train, output model: tensor" in said
    (why,) = whys(said)
    assert why.startswith("cpu: ")
    assert why.endswith(" default on default")


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
    code, said = told(base, redo("lock", "train", cold=True), capsys)
    assert code == 65
    assert "first difference: task train, output model: tensor" in said
    assert whys(said) == ["package cosine: - on base, 2.0 on lock"]


def widen(environment: Environment) -> None:
    """Have more rows in the training set."""
    uri = f"{environment.objects_root}/runs/good/parity/assemble/1/result.json"
    made, wide = objects.read_result(uri), f"{environment.objects_root}/wide.parquet"
    rows = parquet.read(str(made.outputs["set"].uri))
    parquet.write(wide, pa.concat_tables([rows] * TIMES))
    given = made.outputs["set"].model_copy(update={"uri": wide})
    told = made.model_copy(update={"outputs": {**made.outputs, "set": given}})
    objects.write_result(uri, told)


def test_other_threads(redo: Run, capsys: pytest.CaptureFixture[str]) -> None:
    def side(name: str, threads: int) -> Side:
        one_batch = {"batch_size": 100_000, "epochs": SUMS, "threads": threads}

        def change(text: str) -> str:
            product = yaml.safe_load(text)
            return yaml.safe_dump({**product, "training": product["training"] | one_batch})

        return redo(name, "train", change, widen)

    code, said = told(side("one", 1), side("two", 2), capsys)
    assert code == 65
    assert "first difference: task train, output " in said
    assert whys(said) == ["training.threads: 1 on one, 2 on two"]


def test_other_data(
    base: Side, product: Environment, redo: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other bytes under the same path: all that stands around the task is equal."""
    source = product.pipelines.parent / "good.csv"
    text = source.read_text()
    lines = text.splitlines()
    first = lines[1].split(",")
    lines[1] = ",".join([first[0], "99.5", *first[2:]])
    source.write_text("\n".join(lines) + "\n")
    other = redo("data", "ingest")
    source.write_text(text)
    code, said = told(base, other, capsys)
    assert code == 65
    assert "first difference: task ingest, output" in said
    assert "column one differs in 1 of" in said
    (why,) = whys(said)
    assert why.endswith("are equal: the data came otherwise")


def test_documents_that_are_only_written_otherwise_are_told_as_such() -> None:
    said = difference._places({"a": 1, "b": -0.0}, {"b": 0.0, "a": 1})
    assert said.startswith("the values are equal, and are written otherwise")
    assert difference._places({"a": [1, 2]}, {"a": [1, 3]}) == "a[1]: 2 and 3"


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
