from __future__ import annotations

import json
import socket
import threading
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from ml_launch import capsule, on_worker, start
from ml_launch.command import Command, command, slug
from ml_launch.warm_client import WarmProcess
from ml_launch.windows import window_at

from ml_tasks.config import Environment, TaskResources
from ml_tasks.flow import step
from ml_tasks.io import objects, runs

if TYPE_CHECKING:
    from pathlib import Path

    from ml_launch.outcome import Outcome

WINDOW = "2013-01-01/2013-01-08"
ROOMY = TaskResources(memory_gb=4)


def ingest(environment: Environment, pipeline: str = "flight_delays") -> Command:
    return command(
        environment, pipeline, step("ingest"), run="r", attempt=1, window=WINDOW, inputs={}
    )


def run(environment: Environment, made: Command, given: TaskResources = ROOMY) -> Outcome:
    lines: list[str] = []
    outcome = start(made, given, environment).follow(lines.append)
    assert list(outcome.tail) == lines[-200:]
    return outcome


def test_a_commands_line_is_the_same_everywhere(tmp_path: Path) -> None:
    environment = Environment(home=tmp_path)
    made = command(
        environment,
        "p",
        step("train"),
        run="r",
        attempt=2,
        window=WINDOW,
        inputs={"assemble": "file:///a.json"},
        processes=2,
    )
    result = f"{environment.objects_root}/runs/p/r/train/2/result.json"
    assert made.argv[1:] == [
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "--"),
        *("ml_tasks", "train", "--pipeline", "p", "--run", "r", "--attempt", "2"),
        *("--window", WINDOW, "--input", "assemble=file:///a.json", "--result", result),
    ]
    assert ingest(environment).argv[1:4] == ["-m", "ml_tasks", "ingest"]


@pytest.mark.parametrize(
    ("run_id", "wanted"),
    [
        ("manual__2013-01-01T00:00:00+00:00", "manual__2013-01-01T00-00-00-00-00"),
        ("../../etc", "etc"),
        ("a" * 300, "a" * 120),
    ],
)
def test_a_runs_id_is_safe_in_paths(run_id: str, wanted: str) -> None:
    assert slug(run_id) == wanted


def test_windows_follow_the_schedule() -> None:
    weekly = "0 0 * * 2"
    assert window_at(weekly, "2013-01-01") == "2013-01-01T00:00:00Z/2013-01-08T00:00:00Z"
    with pytest.raises(ValueError, match=r"no window of '0 0 . . 2' begins there; the one before"):
        window_at(weekly, "2013-01-02")
    with pytest.raises(ValueError, match="Invalid isoformat"):
        window_at(weekly, "soon")


def test_a_task_runs_and_leaves_its_result(launching: Environment) -> None:
    outcome = run(launching, ingest(launching))
    assert outcome.succeeded, outcome
    assert outcome.result is not None
    assert outcome.result.values["flights"]["new"] == 5957
    assert any("ml_tasks.ingest" in line for line in outcome.tail)


def test_an_error_comes_back_with_its_code(launching: Environment) -> None:
    outcome = run(launching, ingest(launching, "trains"))
    assert not outcome.succeeded
    assert outcome.code == 78
    assert "pipeline 'trains': no file" in outcome.message


def test_the_task_sees_its_own_environment(
    launching: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "secret")
    found = on_worker.task_environment(TaskResources(cpus=2), launching)
    assert found["PERENNIAL_HOME"] == str(launching.home)
    assert found["OMP_NUM_THREADS"] == "2"
    assert not [name for name in found if "AIRFLOW" in name]


def test_too_much_memory_ends_the_task(launching: Environment) -> None:
    outcome = run(launching, ingest(launching), TaskResources(memory_gb=0.02))
    assert not outcome.succeeded
    assert "GB of memory and was given 0.02; raise resources.<task>.memory_gb" in outcome.message
    assert outcome.curve[-1].memory_mb > 20
    (killed,) = runs.tries(launching, "flight_delays", "r")
    assert killed.result is None
    assert killed.usage is not None
    (use,) = killed.usage.pods.values()
    assert use.peak_memory_mb > 20
    assert use.seconds > 0


def test_a_stopped_task_is_gone_with_all_that_it_started(launching: Environment) -> None:
    made = ingest(launching)
    launch = start(made, ROOMY, launching)
    done: list[Outcome] = []
    follower = threading.Thread(target=lambda: done.append(launch.follow(lambda _line: None)))
    follower.start()
    assert isinstance(launch, on_worker.LocalLaunch)
    pid = launch._process.pid
    launch.stop()
    follower.join(30)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert done
    assert done[0].message == "the task was stopped from outside"


def test_a_vanished_client_takes_its_child_along(tmp_path: Path, warm_socket: Path) -> None:
    environment = Environment(home=tmp_path / "home", warm_socket=warm_socket)
    launch = start(ingest(environment), ROOMY, environment)
    process = launch._process
    process._link.close()  # type: ignore[attr-defined]
    process._reply.close()  # type: ignore[attr-defined]
    limit = time.monotonic() + 10
    while psutil.pid_exists(process.pid) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not psutil.pid_exists(process.pid)
    assert run(environment, ingest(environment, "trains")).code == 78


def test_a_client_that_asks_for_nothing_hurts_nobody(tmp_path: Path, warm_socket: Path) -> None:
    environment = Environment(home=tmp_path / "home", warm_socket=warm_socket)
    for sent in (b"", b"1234", b"\x00\x00\x00\x00\x00\x00\x00\x02{"):
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(str(warm_socket))
            link.sendall(sent)
    launch = start(ingest(environment, "trains"), ROOMY, environment)
    assert isinstance(launch._process, WarmProcess)
    assert launch.follow(lambda _line: None).code == 78


def test_a_follower_that_was_interrupted_goes_on(launching: Environment) -> None:
    launch = start(ingest(launching), ROOMY, launching)

    def interrupt(_line: str) -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        launch.follow(interrupt)
    launch.stop("it took too long")
    outcome = launch.follow(lambda _line: None)
    assert outcome.message == "it took too long"
    assert len(outcome.tail) >= 1


def test_without_a_warm_launcher_a_fresh_process_starts(tmp_path: Path) -> None:
    environment = Environment(home=tmp_path / "home", warm_socket=tmp_path / "nobody.sock")
    assert run(environment, ingest(environment, "trains")).code == 78


def test_a_capsule_holds_what_is_needed_and_no_secret(tmp_path: Path) -> None:
    environment = Environment(
        home=tmp_path / "home",
        control_url=f"sqlite:///{tmp_path}/c.db",
        warehouse="s3://u:p@host/b",
    )
    made = ingest(environment, "trains")
    uri = capsule.write(made, run(environment, made), environment)
    read = capsule.read(uri)
    assert read.arguments == made.arguments
    assert read.exit_code == 78
    assert "no file" in read.reason
    assert read.environment["PERENNIAL_WAREHOUSE"] == "s3://***@host/b"
    assert "u:p@" not in objects.read_text(uri)
    hidden = capsule.masked({"AWS_SECRET_ACCESS_KEY": "x", "PLAIN": "y"})
    assert json.dumps(hidden) == '{"AWS_SECRET_ACCESS_KEY": "***", "PLAIN": "y"}'


@pytest.mark.parametrize(
    ("address", "hidden"),
    [
        ("postgresql+psycopg://u:pa/ss@db/c", "postgresql+psycopg://***@db/c"),
        ("redis://:pa@ss@h:1/0", "redis://***@h:1/0"),
        ("http://here/a", "http://here/a"),
    ],
)
def test_no_password_stays_whatever_it_is_made_of(address: str, hidden: str) -> None:
    assert capsule.masked({"ADDRESS": address}) == {"ADDRESS": hidden}
