from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ml_tasks.config import ROOT
from perennial import image

FOLDER = ROOT / "docker"
TEXT = (FOLDER / "Dockerfile").read_text()
BINARIES = Path(sys.executable).parent


def stage(name: str) -> str:
    found = re.search(rf"^FROM \S+ AS {name}\n(.*?)(?=^FROM |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None, name
    return found.group(1)


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=f"{BINARIES}{os.pathsep}{os.defpath}")
    if hadolint is None:
        pytest.skip("hadolint is not installed: make setup")
    done = subprocess.run(
        [hadolint, FOLDER / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", ["install", "check", "airflow"])
def test_scripts_parse_and_can_be_run(name: str) -> None:
    script = FOLDER / name
    assert os.access(script, os.X_OK)
    subprocess.run(["sh", "-n", script], check=True)


@pytest.mark.parametrize("name", [*image.IMAGES, image.DEV])
def test_an_image_has_its_labels_and_no_root(name: str) -> None:
    body = stage(name)
    assert [*re.findall(r"^USER (.*)$", stage("runtime") + body, re.MULTILINE)][-1] == "1000:1000"
    for label in (
        *("title", "licenses", "version", "revision", "base.name"),
        "perennial.lock",
    ):
        assert f"{label}=" in body
    assert body.index("ARG COMMIT") > body.rindex("COPY"), "a commit would make all layers anew"


@pytest.mark.parametrize("name", image.IMAGES)
def test_an_image_names_its_bill_of_materials(name: str) -> None:
    assert f'perennial.sbom="{image.SBOM}"' in stage(name)


def test_only_the_base_is_given_by_name() -> None:
    froms = re.findall(r"^FROM (\S+)", TEXT, re.MULTILINE)
    names = re.findall(r"^FROM \S+ AS (\S+)", TEXT, re.MULTILINE)
    assert {one for one in froms if one not in names} == {"${BASE}"}


def test_a_build_reads_only_what_it_is_to() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    allowed = {line[1:] for line in rules if line.startswith("!")}
    copied = {
        word
        for line in re.findall(r"^COPY (?!--from)(.*)$", TEXT, re.MULTILINE)
        for word in line.split()[:-1]
        if not word.startswith("--")
    }
    assert allowed == copied
    assert "**/__pycache__" in rules


@pytest.mark.parametrize("name", ["Dockerfile", "install", "tools.lock", "tools.in"])
def test_no_address_is_built_in(name: str) -> None:
    assert "://" not in (FOLDER / name).read_text()


@pytest.mark.parametrize(
    ("base", "release", "said"),
    [
        ("python:3.11", "", ""),
        ("python:3.11", "1", "wanted NAME@sha256:DIGEST for a release"),
        ("python@sha256:0123", "1", ""),
    ],
)
def test_a_release_wants_a_base_with_a_digest(base: str, release: str, said: str) -> None:
    done = subprocess.run(
        ["sh", FOLDER / "install", "check"],
        env={"PATH": f"{BINARIES}:/usr/bin:/bin", "BASE": base, "RELEASE": release},
        capture_output=True,
        text=True,
        check=False,
    )
    if sys.version_info[:2] != (3, 11):
        assert "wanted 3.11" in done.stderr
        return
    assert (done.returncode != 0) == bool(said)
    assert said in done.stderr


def test_what_an_image_must_not_hold_is_found(tmp_path: Path) -> None:
    # The whole root is looked at: here, of somebody's machine, and so only for what it says first.
    program = tmp_path / "gcc"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    script = (FOLDER / "check").read_text().partition("{\n")[0]
    done = subprocess.run(
        ["sh", "-c", script],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"builds: {program}" in done.stdout
