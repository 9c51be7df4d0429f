"""Real builds of the thin image; the large ones are built by `make images`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import yaml

from ml_tasks.errors import BackendError
from perennial import builders
from perennial.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

BASE = os.environ.get("IMAGES_BASE", "")  # noqa: TID251 - says whether anything is built
pytestmark = pytest.mark.skipif(not BASE, reason="IMAGES_BASE names no base image")


def test_the_thin_image_is_built_loaded_and_described(
    home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    load = tmp_path / "load"
    load.write_text(f'#!/bin/sh\ntar -tf "$1" >{tmp_path}/archive\n')
    load.chmod(0o755)
    words = ["image", "--dev", "--base", BASE, "--repository", "perennial-test"]
    assert main([*words, "--load", str(load)]) == 0
    assert "manifest.json" in (tmp_path / "archive").read_text()
    assert not list((home / "images").glob("*.tar"))
    pod = yaml.safe_load((home / "images" / "dev-pod.yaml").read_text())
    reference = pod["spec"]["containers"][0]["image"]
    assert f"PERENNIAL_IMAGE={reference}" in capfd.readouterr().out
    asked = "import os, sys; print(os.getuid(), os.environ['HOME'], sys.prefix)"
    said = builders.find().read(reference, ["python", "-c", asked])
    assert said.split() == ["1000", "/tmp", "/opt/venv"]  # noqa: S108 - the image's own


def test_the_builder_refuses_a_release_whose_base_has_no_digest(
    capfd: pytest.CaptureFixture[str],
) -> None:
    told = [f"--build-arg=BASE={BASE}", "--build-arg=RELEASE=1"]
    with pytest.raises(BackendError, match="build ended with code"):
        builders.find().build("airflow", "perennial-test/airflow:release", told)
    assert "wanted NAME@sha256:DIGEST for a release" in capfd.readouterr().err
