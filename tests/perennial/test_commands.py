from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib import metadata
from typing import TYPE_CHECKING

import psutil
import pytest

from ml_tasks import config
from ml_tasks.config import ROOT, Environment
from ml_tasks.errors import BackendError, ConfigError, ExitCode
from ml_tasks.io import objects, runs
from ml_tasks.io.control import Control
from ml_tasks.result import Failure, Result, Window
from perennial import doctor, entry, runner, summary, windows
from perennial.__main__ import main
from perennial.airflow_api import as_text
from perennial.ports import free_port
from perennial.processes import Processes, Running
from perennial.services import Services

if TYPE_CHECKING:
    from pathlib import Path

    from ml_tasks.config import Pipeline

    Ended = tuple[Services, Control, Pipeline]

WEEK = "2013-01-01/2013-01-08"


def test_clean_says_what_went(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "ingest", "--window", WEEK, "--run", "r"]) == 0
    assert main(["run", "validate", "--window", WEEK, "--run", "r"]) == 0
    capsys.readouterr()
    assert main(["clean"]) == 0
    assert "0 snapshots expired, 0 tags freed, 0 files gone" in capsys.readouterr().out
    assert main(["clean", "--dry-run"]) == 0
    assert "0 snapshots would have expired, 0 tags would have been freed" in capsys.readouterr().out
    assert main(["clean", "--older-than", "0"]) == 78
    assert (home / "warehouse").is_dir()


def test_interrupted_among_its_imports_a_command_ends_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Interrupted:
        def find_spec(self, name: str, *_told: object) -> None:
            if name == "perennial.__main__":
                raise KeyboardInterrupt

    (script,) = metadata.entry_points(group="console_scripts", name="perennial")
    assert script.load() is entry.main
    monkeypatch.setattr(sys, "argv", ["perennial", "--version"])
    assert entry.main() == 0
    assert capsys.readouterr().out.startswith("perennial ")
    monkeypatch.delitem(sys.modules, "perennial.__main__")
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    assert entry.main() == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_whatever_interrupts_a_command_it_says_so_and_ends(home: Path, number: int) -> None:
    log = home / "logs" / "mlflow.log"
    log.parent.mkdir(parents=True)
    log.write_text("begun\n")
    words = [sys.executable, "-m", "perennial", "logs", "mlflow", "--follow"]
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(words, cwd=ROOT, **told) as command:  # type: ignore[call-overload]
        assert command.stdout.readline() == "begun\n"
        command.send_signal(number)
        said, _ = command.communicate(timeout=60)
    assert (command.returncode, said) == (130, "interrupted\n")


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    for name in (
        *(
            "up",
            "down",
            "status",
            "doctor",
            "demo",
            "config",
            "run",
            "logs",
            "repro",
            "lineage",
            "clean",
            "backup",
            "restore",
        ),
    ):
        assert name in said


def test_it_says_which_version_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"perennial \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_a_wrong_word_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rnu"]) == 78
    assert "No such command 'rnu'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rnu"], "see perennial --help"),
        (["rollback"], "see perennial rollback --help"),
        (["audit", "verify", "--kep"], "see perennial audit verify --help"),
        (["clean", "--older-than", "soon"], "see perennial clean --help"),
    ],
)
def test_a_wrong_word_leads_to_the_help_of_its_command(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 78
    assert capsys.readouterr().err.splitlines()[-1] == said


def test_tasks_run_by_name_and_find_what_they_need(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = Environment()
    for task in ("ingest", "validate"):
        assert main(["run", task, "--window", WEEK, "--run", "r"]) == 0
    assert "validate done in run r" in capsys.readouterr().out
    assert main(["status"]) == 75
    said = capsys.readouterr().out
    assert said.count("1 windows published, up to 2013-01-08; none went on to materialise") == 2
    control = Control(environment.control)
    with control.lease("windows", holder="again/materialise", attempt=1) as lease:
        first, last = f"{WEEK[:10]}T00:00:00+00:00", f"{WEEK[11:]}T00:00:00+00:00"
        control.complete("flight_delays", first, last, "again", lease)
    assert main(["status"]) == 75
    said = capsys.readouterr().out
    assert "flight_delays\t1 windows, up to 2013-01-08\t" in said
    # Another product that shares the table has not brought it in.
    assert "arrival_delay\tno window\t" in said
    found = runs.results(environment, "flight_delays", "r")
    assert found["validate"].values["flights"]["published"] == 5957
    assert main(["run", "ingest", "--window", WEEK, "--run", "r"]) == 0
    assert runs.attempts(environment, "flight_delays", "r", "ingest") == 2
    assert home.is_dir()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "fly"], "task 'fly': wanted one of ingest, validate"),
        (["run", "ingest"], "ingest: came no window, wanted --window START/END"),
        (["run", "ingest", "--window", "2013-13-01/2013-14-01"], "window '2013-13-01/2013-14-01':"),
        (["run", "ingest", "--window", "2013-01-01/2131-01-08"], "days to come have no rows"),
        (["repro", __file__], "what lies there is no capsule"),
        (["run", "ingestion"], "ingestion: came no window, wanted --window START/END"),
        (["run", "ingestion", "--window", WEEK], "MLflow: came no address, wanted that of this"),
        (["run", "training"], "flight_delays: none of its windows came as far as materialise"),
        (["run", "validate", "--window", WEEK], "task 'ingest' has left no result there"),
        (["logs", "kitchen"], "service 'kitchen': wanted one of mlflow, warm, api-server"),
        (["logs", "mlflow"], "mlflow.log yet; start it by perennial up"),
        (["repro", "/nowhere.json"], "capsule file:///nowhere.json: there is none"),
        (["demo", "--until", "soon"], "--until: came 'soon', wanted a day"),
        (["demo", "--until", "2013-01-03"], "--until: came 2013-01-03, wanted 2013-01-08 at least"),
        (["lineage", "champion"], "MLflow does not run: perennial up"),
        (["logs", "flight_delays__training"], "Airflow does not run: perennial up"),
    ],
)
def test_a_persons_mistake_is_one_line(
    words: list[str], said: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) in (75, 78)
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert home


def test_a_failed_step_is_entered_again(
    home: Path,
    warm_socket: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PERENNIAL_WARM_SOCKET", str(warm_socket))
    environment = Environment()
    good = environment.run_folder("flight_delays", "r")
    assert main(["run", "ingest", "--window", WEEK, "--run", "r"]) == 0
    staged = objects.read_result(f"{good}/ingest/1/result.json").outputs["staged_flights"].uri or ""
    kept = objects.read_bytes(staged)
    objects.delete(staged)
    assert main(["run", "validate", "--window", WEEK, "--run", "r"]) == 1
    said = capsys.readouterr().out
    address = next(w for w in said.split() if w.endswith("validate-1.json"))
    assert main(["repro", address, "--show"]) == 0
    shown = capsys.readouterr().out
    assert "task\tvalidate, attempt 1" in shown
    assert "staged_flights.parquet" in shown
    assert main(["repro", address]) == 1
    objects.write_bytes(staged, kept)
    assert main(["repro", address]) == 0
    assert "validate succeeded" in capsys.readouterr().out
    assert runs.attempts(environment, "flight_delays", "r", "validate") == 1
    assert main(["run", "validate", "--window", WEEK, "--run", "r"]) == 0
    assert home


def test_the_doctor_looks_at_everything(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    for what in ("python", "disk", "memory", "permissions", "pipelines", "services", "feast"):
        assert f"\t{what}\t" in said
    assert home


def test_the_doctor_says_what_is_wrong_and_what_to_do(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pipelines"
    folder.mkdir()
    (folder / "bad.yaml").write_text("name: bad\n")
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(folder))
    monkeypatch.setattr(doctor, "DISK_GB", 10**6)
    assert main(["doctor"]) == 78
    said = capsys.readouterr().out
    assert "bad.yaml: sources: came nothing" in said
    assert "set PERENNIAL_HOME to a larger disk" in said
    with pytest.raises(ConfigError, match=r"disk: .* GB free in"):
        doctor.require(Services(Environment()))
    assert home


def test_a_taken_port_gives_the_next_free_one() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) > port


def test_no_free_port_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perennial.ports.PORTS_TRIED", 1)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(BackendError, match="are taken; free one of them"):
            free_port(taken.getsockname()[1])


def test_a_process_of_somebody_else_is_not_ours(tmp_path: Path) -> None:
    import os

    running = Running(os.getpid(), 0.0, "log", None)
    assert not running.alive
    (tmp_path / "services.json").write_text(
        json.dumps({"mlflow": {"pid": os.getpid(), "created": 0.0, "log": "", "port": 1}})
    )
    assert not Processes(tmp_path).known()["mlflow"].alive


@pytest.mark.parametrize("name", ["environment.json", "services.json"])
def test_a_file_of_the_home_that_cannot_be_read_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text("{half")
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    assert main(["status"]) == ExitCode.CONFIG
    assert f"{tmp_path / name}: " in (said := capsys.readouterr().err)
    assert "remove it" in said


def test_the_windows_of_the_demo_end_by_the_day_asked() -> None:
    found = windows.named(config.load("flight_delays"), "2013-06-04")
    assert len(found) == 22
    assert (f"{found[0].start:%F}", f"{found[-1].start:%F}") == ("2013-01-01", "2013-05-28")


def test_a_home_that_cannot_be_made_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / "file" / "home"))
    assert main(["doctor"]) == 78
    assert "cannot be made: Not a directory; wanted a folder of yours" in capsys.readouterr().err


def test_a_relative_home_with_a_space_is_one_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PERENNIAL_HOME", "my höme")
    for attempt in (1, 2):
        assert main(["run", "ingest", "--window", WEEK, "--run", "r"]) == 0
        assert runs.attempts(Environment(), "flight_delays", "r", "ingest") == attempt
    assert (tmp_path / "my höme" / "objects").is_dir()


def test_a_long_home_has_its_socket_elsewhere(tmp_path: Path) -> None:
    deep = Services(Environment(home=tmp_path / ("d" * 120)))
    assert len(str(deep.socket)) < 100
    assert Services(Environment(home=tmp_path / "d")).socket.parent == tmp_path / "d"


def test_what_a_killed_service_left_is_ended(tmp_path: Path) -> None:
    import os
    import sys

    from perennial.processes import MARK

    home = tmp_path / "home"
    home.mkdir()
    processes = Processes(home)
    script = (
        "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', "
        "'import time; time.sleep(60)'], start_new_session=True); time.sleep(60)"
    )
    service = processes.start("mlflow", [sys.executable, "-c", script], {})
    process = psutil.Process(service.pid)
    while not (children := process.children()):
        time.sleep(0.05)
    processes.end_strays()
    assert children[0].is_running(), "the service lives, and what it started is no stray"
    process.kill()
    process.wait()
    processes.end_strays()
    assert not psutil.pid_exists(children[0].pid) or children[0].status() == "zombie"
    assert MARK not in os.environ  # noqa: TID251


def test_status_tells_stopped_from_broken_down_and_where_to_begin(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status"]) == 75
    said = capsys.readouterr().out
    assert "mlflow\tnot started" in said
    assert said.splitlines()[-1].startswith("nothing was started yet: perennial up starts")

    processes = Processes(home)
    broken = processes.start("mlflow", ["sleep", "60"], {})
    psutil.Process(broken.pid).kill()
    while broken.alive:
        time.sleep(0.05)
    processes.start("warm", ["sleep", "60"], {})
    assert main(["down"]) == 0
    assert main(["status"]) == 75
    said = capsys.readouterr().out
    assert f"mlflow\tended; see {broken.log}" in said
    assert "warm\tstopped; perennial up starts it" in said
    assert "nothing was started yet" not in said


def judged(control: Control, until: str, auc: float, version: str = "") -> None:
    """Leave a training of all up to a day, and its promotion where it has a version."""
    environment, name, window = Environment(), "flight_delays", f"2013-01-01/{until}"
    run, head = f"train-{until}", control.champion(name)
    trigger, _ = control.ask(name, "monitor", window, who="w", evidence={})
    control.claim(trigger.id, run)
    measured = {"candidate": {"roc_auc": auc}, "majority": {"roc_auc": 0.5}}
    if head is not None:
        measured["champion"] = {"roc_auc": 0.7001}
    gates = [
        {"gate": gate, "passed": passed, "threshold": "> 0", "evidence": f"it is {auc}"}
        for gate, passed in (("floor", True), ("beats_champion", bool(version)))
    ]
    left = {
        "assemble": {},
        "evaluate": {"metrics": measured, "champion": head.version if head else None},
        "judge": {"passed": bool(version), "gates": gates},
        **({"register": {"version": version, "semantic_version": "1.0.0"}} if version else {}),
    }
    for task, values in left.items():
        result = Result(
            task=task, pipeline=name, run=run, values=values, window=Window.parse(window)
        )
        uri = f"{environment.run_folder(name, run)}/{task}/1/result.json"
        objects.write_result(uri, result)
    if version:
        control.promote(
            name, version, expected=head.version if head else None, run=run, verdict_uri="v",
            who="judge", why="better",
        )  # fmt: skip
    said = f"promoted version {version}" if version else "not promoted: beats_champion"
    control.finish(trigger.id, said)


@pytest.fixture
def ended(home: Path) -> Ended:
    """Where a demo's trainings have ended: services, control and the product."""
    control = Control(Environment().control)
    control.migrate()
    return Services(Environment(home=home)), control, config.load("flight_delays")


def test_the_demo_ends_with_the_training_of_its_champion_and_says_who_was_refused(
    ended: Ended, capsys: pytest.CaptureFixture[str]
) -> None:
    services, control, pipeline = ended

    def said() -> str:
        capsys.readouterr()
        assert summary.show(services, pipeline) == ExitCode.OK
        return capsys.readouterr().out

    judged(control, "2013-06-04", 0.8101, "1")
    first = said()
    assert (
        "Metrics of version 1, on the test range of 2013-01-01/2013-06-04\nversion 1\t0.8101"
        in (first)
    )
    assert "champion before" not in first
    judged(control, "2013-06-11", 0.8202, "2")
    second = said()
    assert "Gates of version 2, from 2013-01-01/2013-06-11\npassed\tfloor\t" in second
    assert "version 2\t0.8202\nmajority\t0.5000\nversion 1, champion before\t0.7001\n" in second
    assert "2013-06-04" not in second
    assert "version 2 is champion (1.0.0), made by run train-2013-06-11" in second
    judged(control, "2013-06-18", 0.8003)
    third = said()
    assert "Metrics of version 2, on the test range of 2013-01-01/2013-06-11" in third
    assert "from 2013-01-01/2013-06-18, asked for by monitor: refused\nnot promoted: " in third
    assert "0.8003" not in third.partition("asked for by monitor")[0]
    assert third.count("FAILED\t") == third.count("Metrics of") == 1
    assert third.count("passed\t") == 2


def test_a_logs_line_says_why() -> None:
    line = {"event": "Skipping task.", "reason": "there is no champion yet", "level": "info"}
    assert as_text(line) == ["Skipping task. reason: there is no champion yet"]
    failed = {"event": "Task failed", "error_detail": [{"exc_type": "E", "exc_value": "came 2"}]}
    assert as_text(failed) == ["Task failed", "E: came 2"]


def test_without_a_champion_the_demo_shows_what_was_judged_and_where_to_go_on(
    ended: Ended, capsys: pytest.CaptureFixture[str]
) -> None:
    services, control, pipeline = ended
    judged(control, "2013-06-04", 0.6101)
    assert summary.show(services, pipeline) == ExitCode.REJECTED
    out, err = capsys.readouterr()
    assert "Failed gates of the candidate, from 2013-01-01/2013-06-04\nFAILED\tbeats_cham" in out
    assert "Metrics of the candidate, on the test range of 2013-01-01/2013-06-04" in out
    assert "flight_delays has no champion: not promoted: beats_champion" in err
    told = out.partition("next:\n")[2].splitlines()
    assert f"  {services.airflow_url}/plugin/pipelines " in told[0]
    for command in ("ledger", "triggers"):
        assert any(f"perennial {command} -p flight_delays " in line for line in told)
    # What stands there can be typed as it is, also where .venv/bin is not on the path.
    assert all(shutil.which(line.split()[0]) for line in told if " -p flight_delays " in line)
    assert (len(told), len({line.rindex("  ") for line in told})) == (6, 1)


def test_a_training_that_ended_keeps_its_name(environment: Environment) -> None:
    """What gates said of it stays in the ledger; one that broke off goes on."""
    pipeline = config.load("flight_delays")
    control = Control(environment.control)
    control.migrate()
    base = "command-training-2013-01-01-2013-02-01"
    assert runner._not_ended(environment, pipeline, base) == base
    asked = runner.ask(environment, pipeline, "2013-01-01/2013-02-01", base)
    assert runner._not_ended(environment, pipeline, base) == base
    control.finish(asked, "not promoted")
    assert runner._not_ended(environment, pipeline, base) == f"{base}-2"
    uri = f"{environment.run_folder(pipeline.name, base)}/train/1/result.json"
    for code, name in ((ExitCode.RETRY, base), (ExitCode.REJECTED, f"{base}-2")):
        error = Failure(kind="StuckError", message="rank 1 hangs", exit_code=code)
        objects.write_result(
            uri, Result(task="train", pipeline=pipeline.name, run=base, error=error)
        )
        assert runner._not_ended(environment, pipeline, base) == name
