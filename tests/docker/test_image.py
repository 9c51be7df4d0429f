from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ml_tasks.config import ROOT, Environment
from ml_tasks.errors import BackendError, ConfigError, RejectedError
from perennial import builders, image
from perennial.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LOCK = hashlib.sha256((ROOT / "requirements.lock").read_bytes()).hexdigest()
RELEASE = image.Wish(repository="registry.example/perennial", base="b@sha256:01", release=True)


def test_a_release_is_told_all_that_it_stands_on() -> None:
    said = image.arguments(RELEASE, "tasks", COMMIT, LOCK)
    assert said == [
        "--build-arg=BASE=b@sha256:01",
        "--build-arg=TORCH=locked",
        "--build-arg=RELEASE=1",
        f"--build-arg=COMMIT={COMMIT}",
        f"--build-arg=LOCK={LOCK}",
        "--build-arg=VERSION=0.1.0",
    ]


def test_certificates_are_a_secret_and_options_come_last(tmp_path: Path) -> None:
    wish = image.Wish(repository="p", ca=tmp_path / "ca", options=("--no-cache",))
    said = image.arguments(wish, "airflow", "unknown", LOCK)
    assert said[-2:] == [f"--secret=id=ca,src={tmp_path}/ca", "--no-cache"]
    assert not [word for word in said if "TORCH" in word or "RELEASE" in word or "BASE" in word]


@pytest.mark.parametrize(
    ("wish", "commit", "said"),
    [
        (replace(RELEASE, base=""), COMMIT, "a release's base: came none, wanted NAME@sha256"),
        (replace(RELEASE, base="b:1"), COMMIT, "came b:1, wanted NAME@sha256:DIGEST by --base"),
        (RELEASE, f"{COMMIT}-dirty", "a release's commit: came .*-dirty"),
        (RELEASE, "unknown", "a release's commit: came unknown"),
        (replace(RELEASE, torch="cpu"), COMMIT, "--torch cpu: came no --torch-hash"),
    ],
)
def test_a_release_that_nobody_could_build_again_is_refused(
    wish: image.Wish, commit: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        image.arguments(wish, "tasks", commit, LOCK)


@pytest.mark.parametrize(
    ("torch", "name", "reference"),
    [
        ("locked", "tasks", "perennial/tasks:0.1.0"),
        ("cpu", "tasks", "perennial/tasks:0.1.0-cpu"),
        ("cpu", "airflow", "perennial/airflow:0.1.0"),
        ("cpu", "dev", "perennial/dev:0.1.0"),
    ],
)
def test_an_images_name(torch: str, name: str, reference: str) -> None:
    assert image.Wish(repository="perennial", torch=torch).reference(name) == reference


def test_pods_run_the_image_that_is_built() -> None:
    built = image.Wish(repository="perennial", torch="locked").reference("tasks")
    assert Environment.model_fields["image"].default == built


def test_the_largest_parts_add_up() -> None:
    packages = [f"{kilobytes * 1024}\t/opt/venv/site/p{kilobytes}" for kilobytes in range(1, 21)]
    rows = image.parts("\n".join([*packages, "1024\t/opt", "2048\t/"]))
    assert rows[:2] == [("p20", "20"), ("p19", "19")]
    assert rows[-3:] == [
        ("everything else in /opt", str(sum(range(1, 9)) + 1)),
        ("base image, user, libgomp", "2"),
        ("all", str(sum(range(1, 21)) + 3)),
    ]


def test_what_an_image_must_not_hold_refuses_it() -> None:
    image.require_clean("perennial/tasks:1", "")
    with pytest.raises(RejectedError, match="tasks:1 holds what it must not:\nruns as root"):
        image.require_clean("perennial/tasks:1", "runs as root\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["kitchen"], "image 'kitchen': wanted one of tasks, airflow, standalone"),
        (["--builder", "oven"], "builder 'oven': wanted one of docker, buildah"),
    ],
)
@pytest.mark.usefixtures("home")
def test_a_wrong_word_is_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["image", *words]) == 78
    assert said in capsys.readouterr().err


def test_without_a_builder_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="images are built by docker or buildah: not found"):
        builders.find()


def program(folder: Path, name: str, script: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def test_a_client_without_its_daemon_builds_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "docker", 'echo "cannot connect" >&2; exit 1')
    program(tmp_path, "buildah", "exit 0")
    assert isinstance(builders.find(), builders.Buildah)


def test_a_build_that_fails_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "buildah", '[ "$1" = version ] || { echo "no such image" >&2; exit 125; }')
    found = builders.find("buildah")
    with pytest.raises(BackendError, match="buildah build ended with code 125"):
        found.build("tasks", "perennial/tasks:1", [])
    with pytest.raises(BackendError, match="buildah from ended with code 125: no such image"):
        found.read("perennial/tasks:1", ["true"])


@pytest.mark.parametrize("command", ["no-such-program import", "docker 'load"])
def test_what_could_load_nothing_is_said_before_anything_is_built(command: str) -> None:
    with pytest.raises(ConfigError, match="--load"):
        image.loader(command)
