"""What builds images: Docker where its daemon answers, else buildah; the same files for both."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Protocol

from ml_tasks.config import ROOT
from ml_tasks.errors import BackendError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FILE = ROOT / "docker" / "Dockerfile"


class Builder(Protocol):
    """What each builder offers."""

    def build(self, target: str, reference: str, options: Sequence[str]) -> None:
        """Build a stage of the Dockerfile and name it."""
        ...

    def read(self, reference: str, argv: Sequence[str]) -> str:
        """Run a command in an image, without a network; give what it says."""
        ...

    def save(self, reference: str, archive: Path) -> None:
        """Write an image as an archive in Docker's form, which every cluster loads."""
        ...


class Docker:
    """Docker with BuildKit."""

    def build(self, target: str, reference: str, options: Sequence[str]) -> None:
        """Build."""
        argv = ["docker", "build", "--file", str(FILE), "--target", target, "--tag", reference]
        _run([*argv, *options, str(ROOT)])

    def read(self, reference: str, argv: Sequence[str]) -> str:
        """Run a command."""
        return _said(["docker", "run", "--rm", "--read-only", "--network=none", reference, *argv])

    def save(self, reference: str, archive: Path) -> None:
        """Write an archive."""
        _run(["docker", "save", "--output", str(archive), reference])


class Buildah:
    """Buildah, which needs no daemon; with chroot it works in a container too."""

    def build(self, target: str, reference: str, options: Sequence[str]) -> None:
        """Build."""
        argv = ["buildah", "build", "--isolation", "chroot", "--layers", "--file", str(FILE)]
        _run([*argv, "--target", target, "--tag", reference, *options, str(ROOT)])

    def read(self, reference: str, argv: Sequence[str]) -> str:
        """Run a command."""
        container = _said(["buildah", "from", "--pull-never", reference]).strip()
        try:
            return _said(["buildah", "run", "--isolation", "chroot", container, "--", *argv])
        finally:
            _said(["buildah", "rm", container])

    def save(self, reference: str, archive: Path) -> None:
        """Write an archive."""
        archive.unlink(missing_ok=True)
        _run(["buildah", "push", "--quiet", reference, f"docker-archive:{archive}:{reference}"])


_BUILDERS: dict[str, type[Docker | Buildah]] = {"docker": Docker, "buildah": Buildah}
NAMES = tuple(_BUILDERS)


def find(name: str = "") -> Builder:
    """Give the builder of that name, or the first that works here.

    Raises:
        ConfigError: There is none.
    """
    if name and name not in _BUILDERS:
        raise ConfigError(f"builder {name!r}: wanted one of {', '.join(NAMES)}")
    for each in [name] if name else NAMES:
        if _works(each):
            return _BUILDERS[each]()
    raise ConfigError(
        f"images are built by {name or ' or '.join(NAMES)}: not found, or its daemon does not "
        "answer; install buildah, or start Docker"
    )


def _works(name: str) -> bool:
    # Docker's command alone builds nothing: `docker version` also asks the daemon.
    return (
        shutil.which(name) is not None
        and subprocess.run([name, "version"], capture_output=True, check=False).returncode == 0
    )


def _run(argv: list[str]) -> None:
    if code := subprocess.run(argv, check=False).returncode:
        raise BackendError(f"{' '.join(argv[:2])} ended with code {code}; what it said is above")


def _said(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip()[-2000:]
        raise BackendError(f"{' '.join(argv[:2])} ended with code {done.returncode}: {said}")
    return done.stdout
