"""The pipelines' YAML: shown with its defaults, explained, checked."""

from __future__ import annotations

from typing import Annotated

import typer

from ml_tasks import config
from ml_tasks.errors import ExitCode
from perennial import console
from perennial.given import environment

app = typer.Typer(help="Show, explain and check the pipelines.", no_args_is_help=True)


@app.command()
def show(pipeline: Annotated[str, typer.Argument(help="Name of its YAML file.")]) -> int:
    """Print a pipeline with all defaults filled in, as YAML."""
    import yaml

    found = config.load(pipeline, environment().pipelines)
    console.plain(yaml.safe_dump(found.model_dump(mode="json"), sort_keys=False, width=100))
    return ExitCode.OK


@app.command()
def schema() -> int:
    """Print the JSON schema of a pipeline's YAML."""
    console.as_json(config.Pipeline.model_json_schema())
    return ExitCode.OK


@app.command()
def check(
    pipelines: Annotated[
        list[str] | None, typer.Argument(help="Names or paths of YAML files; all when not given.")
    ] = None,
) -> int:
    """Check pipelines: the YAML, the parameters of every plug-in, and the environment."""
    from perennial import addresses, check
    from perennial.services import Services

    resolved = Services(environment()).environment
    addresses.require_reachable(resolved)
    resolved.enter()
    faults = check.look(resolved, pipelines or [])
    for name, found in faults.items():
        for line in found:
            console.fail(line)
        if not found:
            console.say(f"{name}: good")
    return ExitCode.CONFIG if any(faults.values()) else ExitCode.OK
