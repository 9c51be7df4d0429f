"""Prints the variables of tasks."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from ml_tasks.errors import ExitCode
from perennial import console
from perennial.given import environment


def command(
    secrets: Annotated[
        bool, typer.Option("--secrets", help="Also addresses with logins, and keys.")
    ] = False,
) -> int:
    """Print the variables of tasks, for a shell: eval "$(perennial env --secrets)"."""
    from perennial.services import Services

    found = Services(environment()).present
    for name, value in (found.variables() if secrets else found.plain_variables()).items():
        console.plain(f"export {name}={shlex.quote(value)}")
    return ExitCode.OK
