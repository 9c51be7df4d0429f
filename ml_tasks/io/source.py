"""Which source code and which locked packages a run stands on."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from ml_tasks.config import ROOT
from ml_tasks.io.content import bytes_hash

if TYPE_CHECKING:
    from ml_tasks.config import Environment


def commit(environment: Environment) -> str:
    """Give the commit, `-dirty` behind it where files differ from it; `unknown` without git."""
    if environment.commit:
        return environment.commit
    head = _git("rev-parse", "HEAD")
    if head is None:
        return "unknown"
    return f"{head}-dirty" if _git("status", "--porcelain", "--untracked-files=no") else head


def lock() -> str:
    """Give the SHA-256 of the lock file."""
    file = ROOT / "requirements.lock"
    return bytes_hash(file.read_bytes()) if file.is_file() else "unknown"


def _git(*words: str) -> str | None:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        return None
    done = subprocess.run(  # noqa: S603 - fixed words
        [git, *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )
    return done.stdout.strip() if done.returncode == 0 else None
