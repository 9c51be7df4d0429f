from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ml_tasks import __main__ as command
from ml_tasks.__main__ import main
from ml_tasks.config import ROOT
from ml_tasks.io import objects
from ml_tasks.result import Resources

if TYPE_CHECKING:
    from pathlib import Path

    from ml_tasks.result import Result


def run(tmp_path: Path, *more: str, pipeline: str = "flight_delays") -> tuple[int, Result]:
    uri = (tmp_path / "result.json").as_uri()
    code = main(["ingest", "--pipeline", pipeline, "--run", "r", "--result", uri, *more])
    return code, objects.read_result(uri)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--window", "2013-01-08/2013-01-01"], "start must come before the end"),
        (["--input", "nonsense"], "came 'nonsense', wanted TASK=URI"),
    ],
)
def test_a_wrong_argument_is_one_line_in_the_result(
    tmp_path: Path, more: list[str], message: str
) -> None:
    code, result = run(tmp_path, *more)
    assert code == 78
    assert result.error is not None
    assert message in result.error.message
    assert result.error.kind == "ConfigError"
    assert result.started is not None
    assert result.resources.peak_memory_mb > 0


def test_an_unknown_pipeline(tmp_path: Path) -> None:
    code, result = run(tmp_path, pipeline="trains")
    assert code == 78
    assert result.error is not None
    assert "no file" in result.error.message


def test_a_wrong_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_LAUNCHER", "rocket")
    code, result = run(tmp_path)
    assert code == 78
    assert result.error is not None
    assert "PERENNIAL_LAUNCHER: came 'rocket'" in result.error.message


def test_a_result_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    uri = (tmp_path / "file" / "result.json").as_uri()
    assert main(["ingest", "--pipeline", "trains", "--run", "r", "--result", uri]) == 78


def test_only_the_first_rank_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    uri = (tmp_path / "result.json").as_uri()
    assert main(["ingest", "--pipeline", "trains", "--run", "r", "--result", uri]) == 78
    assert not objects.exists(uri)


def test_what_the_task_knows_beyond_its_process_is_added() -> None:
    alone = command.used(2.0, Resources())
    more = command.used(2.0, Resources(cpu_seconds=1000, gpu_seconds=7.5))
    assert (alone.wall_seconds, alone.gpu_seconds, more.gpu_seconds) == (2.0, 0.0, 7.5)
    assert more.cpu_seconds - alone.cpu_seconds > 999.99


def test_an_unknown_task(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fly", "--pipeline", "p", "--run", "r", "--result", "file:///x"])
    assert "invalid choice: 'fly'" in capsys.readouterr().err


@pytest.mark.parametrize("more", ["", "sys.stdout = None; "])
def test_a_process_that_ends_has_said_all_and_cleaned_up(tmp_path: Path, more: str) -> None:
    program = (
        "import atexit, os, sys; from ml_tasks.__main__ import _leave; "
        "atexit.register(os.rmdir, sys.argv[1]); print('last word', end=''); "
        f"sys.stderr.write('said'); {more}_leave(75)"
    )
    folder = tmp_path / "made"
    folder.mkdir()
    argv = [sys.executable, "-c", program, str(folder)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 75
    assert done.stderr == "said"
    assert more or done.stdout == "last word"
    assert not folder.exists()
