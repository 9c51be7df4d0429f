"""Images: built from `docker/`, measured, with their bill of materials beside them."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_tasks.config import ROOT
from ml_tasks.errors import BackendError, ConfigError, ExitCode, RejectedError
from ml_tasks.io import source
from perennial import builders, console, dev_volume
from perennial.given import environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_tasks.config import Environment
    from perennial.builders import Builder

IMAGES = ("tasks", "airflow", "standalone")
LEARNING = ("tasks", "standalone")
"""Images that have torch."""
DEV = "dev"
LOCKED = "locked"
SBOM = "/opt/perennial/sbom.cdx.json"
LARGEST = 12
CHECK = ROOT / "docker" / "check"
_MEASURE = f"du --one-file-system --summarize -k {dev_volume.SITE}/* /opt / 2>/dev/null || true"


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """How images are to be built."""

    repository: str
    base: str = ""
    """The base image; the Dockerfile's own when empty."""
    torch: str = LOCKED
    """`locked`, or a build of torch that uv knows: `cpu`, `cu130`."""
    torch_hash: str = ""
    release: bool = False
    ca: Path | None = None
    """Certificates that the build trusts; no image keeps them."""
    options: tuple[str, ...] = ()
    """Words for the builder."""

    def reference(self, image: str) -> str:
        """Give an image's name."""
        version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
        other = f"-{self.torch}" if self.torch != LOCKED and image in LEARNING else ""
        return f"{self.repository}/{image}:{version}{other}"


def arguments(wish: Wish, image: str, commit: str, lock: str) -> list[str]:
    """Give the builder's options for an image.

    Args:
        wish: How it is to be built.
        image: Its name.
        commit: The source's commit.
        lock: SHA-256 of the lock.

    Raises:
        ConfigError: It is to be a release, and nobody could build it again.
    """
    if wish.release:
        _require_release(wish, commit)
    learns = image in LEARNING
    given = {
        "BASE": wish.base,
        "TORCH": wish.torch if learns else "",
        "TORCH_HASH": wish.torch_hash if learns else "",
        "RELEASE": "1" if wish.release else "",
        "COMMIT": commit,
        "LOCK": lock,
        "VERSION": wish.reference(image).rpartition(":")[2],
    }
    made = [f"--build-arg={name}={value}" for name, value in given.items() if value]
    if wish.ca is not None:
        made.append(f"--secret=id=ca,src={wish.ca}")
    return [*made, *wish.options]


def _require_release(wish: Wish, commit: str) -> None:
    if "@sha256:" not in wish.base:
        raise ConfigError(
            f"a release's base: came {wish.base or 'none'}, wanted NAME@sha256:DIGEST by --base: "
            "a tag can be moved"
        )
    if commit == "unknown" or commit.endswith("-dirty"):
        raise ConfigError(f"a release's commit: came {commit}; commit what differs first")
    if wish.torch != LOCKED and not wish.torch_hash:
        raise ConfigError(
            f"a release with --torch {wish.torch}: came no --torch-hash, wanted sha256:… of its "
            "wheel: the lock does not have it"
        )


def build(
    environment: Environment, builder: Builder, wish: Wish, images: Sequence[str], load: str = ""
) -> None:
    """Build images, say how large they are and why, and write their bills of materials.

    An image that is refused keeps its name; nothing loads it.

    Args:
        environment: Says where bills and archives go.
        builder: Builds them.
        wish: How.
        images: Which.
        load: A command that takes an archive's path at its end; none when empty.
    """
    if load:
        loader(load)
    commit, lock = source.commit(environment), source.lock()
    planned = {image: arguments(wish, image, commit, lock) for image in images}
    folder = environment.home / "images"
    folder.mkdir(parents=True, exist_ok=True)
    for image, options in planned.items():
        reference = wish.reference(image)
        builder.build(image, reference, options)
        require_clean(reference, builder.read(reference, ["sh", "-c", CHECK.read_text()]))
        rows = parts(builder.read(reference, ["sh", "-c", _MEASURE]))
        console.table(f"{reference}, uncompressed", ("part", "MB"), rows)
        stem = reference.rpartition("/")[2].replace(":", "-")
        if image != DEV:
            bill = folder / f"{stem}.cdx.json"
            bill.write_text(builder.read(reference, ["cat", SBOM]))
            console.plain(f"bill of materials: {bill}")
        if load:
            _load(builder, reference, folder / f"{stem}.tar", load)


def require_clean(reference: str, said: str) -> None:
    """Make sure that an image holds nothing that it must not.

    Args:
        reference: Its name.
        said: What `docker/check` says in it: nothing, where all is well.

    Raises:
        RejectedError: It does.
    """
    if said:
        raise RejectedError(f"{reference} holds what it must not:\n{said.rstrip()}")


def parts(said: str) -> list[tuple[str, str]]:
    """Say where an image's size lies: the largest packages, the rest, the base, and all of it.

    Args:
        said: What `du` says: of each package, then of what else `/opt` holds, then of what else
            there is; it counts nothing twice.
    """
    sizes = [line.split("\t") for line in said.splitlines()]
    found = {path: int(size) / 1024 for size, path in sizes}
    base, ours = found.pop("/"), found.pop("/opt")
    largest = sorted(found, key=lambda path: -found[path])[:LARGEST]
    others = ours + sum(size for path, size in found.items() if path not in largest)
    rows = {
        **{Path(path).name: found[path] for path in largest},
        "everything else in /opt": others,
        "base image, user, libgomp": base,
        "all": base + ours + sum(found.values()),
    }
    return [(part, f"{size:.0f}") for part, size in rows.items()]


def _load(builder: Builder, reference: str, archive: Path, command: str) -> None:
    builder.save(reference, archive)
    try:
        if code := subprocess.run([*loader(command), archive], check=False).returncode:
            raise BackendError(f"{command} {archive} ended with code {code}")
    finally:
        archive.unlink()


def loader(command: str) -> list[str]:
    """Take the command apart that loads an image.

    Raises:
        ConfigError: It is none.
    """
    try:
        words = shlex.split(command)
    except ValueError as fault:
        raise ConfigError(f"--load {command}: {fault}") from fault
    if not words or shutil.which(words[0]) is None:
        raise ConfigError(f"--load {command}: there is no such program")
    return words


def develop(environment: Environment, builder: Builder, wish: Wish, load: str) -> None:
    """Build the thin image and write what gives its pods this environment and this checkout."""
    mounted = dev_volume.folders()
    build(environment, builder, wish, [DEV], load)
    reference = wish.reference(DEV)
    said = builder.read(reference, ["python", "-c", dev_volume.SAY_PYTHON])
    if differs := dev_volume.compared_python(said):
        console.fail(differs)
    folder = environment.home / "images"
    space = dev_volume.namespace(environment.namespace)
    volumes = [space, *dev_volume.volumes(environment.namespace, mounted)]
    applied = dev_volume.write(folder / "dev-volumes.yaml", volumes)
    template = dev_volume.write(folder / "dev-pod.yaml", [dev_volume.pod(reference, mounted)])
    console.plain(
        f"kubectl apply -f {applied}\n"
        f"export PERENNIAL_IMAGE={reference} PERENNIAL_POD_TEMPLATE={template}"
    )


def command(
    images: Annotated[
        list[str] | None, typer.Argument(help=f"Of {', '.join(IMAGES)}; tasks and airflow if none.")
    ] = None,
    dev: Annotated[
        bool, typer.Option("--dev", help="The thin image, and volumes that bring the checkout.")
    ] = False,
    base: Annotated[str, typer.Option(help="Base image; the Dockerfile's own if empty.")] = "",
    release: Annotated[
        bool, typer.Option("--release", help="Refuse what nobody could build again.")
    ] = False,
    torch: Annotated[str, typer.Option(help="locked, or a build that uv knows: cpu.")] = LOCKED,
    torch_hash: Annotated[str, typer.Option(help="sha256:… of that build's wheel.")] = "",
    repository: Annotated[str, typer.Option(help="What stands before names.")] = "perennial",
    builder: Annotated[str, typer.Option(help="docker or buildah; what works if empty.")] = "",
    load: Annotated[
        str, typer.Option(help="Command that takes an archive: `kind load image-archive`.")
    ] = "",
    option: Annotated[
        list[str] | None, typer.Option(help="A word for the builder; once for each.")
    ] = None,
    ca: Annotated[
        Path | None,
        typer.Option(envvar="SSL_CERT_FILE", help="Certificates that the build trusts."),
    ] = None,
) -> int:
    """Build images from `docker/`, say how large they are, write their bills of materials."""
    wish = Wish(
        repository=repository,
        base=base,
        torch=torch,
        torch_hash=torch_hash,
        release=release,
        ca=ca,
        options=tuple(option or ()),
    )
    wanted = tuple(images or IMAGES[:2])
    if unknown := [image for image in wanted if image not in IMAGES]:
        raise ConfigError(f"image {unknown[0]!r}: wanted one of {', '.join(IMAGES)}")
    found = builders.find(builder)
    if dev:
        develop(environment(), found, wish, load)
    else:
        build(environment(), found, wish, wanted, load)
    return ExitCode.OK
