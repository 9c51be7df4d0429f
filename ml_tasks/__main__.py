"""The command line of every task: the same for each launcher."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import importlib
import logging
import os
import resource
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NoReturn

from pydantic import ValidationError

from ml_tasks import config
from ml_tasks.context import Context
from ml_tasks.errors import ConfigError, ExitCode, PerennialError
from ml_tasks.flow import task_names
from ml_tasks.result import Failure, Resources, Result, Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_tasks.config import Environment
    from ml_tasks.io.word import Word

log = logging.getLogger("ml_tasks")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one task and write its result in any case; give the exit code."""
    _log()
    arguments = _parser().parse_args(argv)
    started, clock = datetime.now(UTC), time.monotonic()
    result, failure, word = None, None, None
    try:
        environment = _environment()
        word = _word(arguments, environment)
        result = _run(arguments, environment, word)
    except PerennialError as fault:
        failure = Failure(
            kind=type(fault).__name__, message=str(fault), exit_code=int(fault.exit_code)
        )
        log.error("%s: %s", failure.kind, failure.message)
    except Exception as fault:
        failure = Failure(
            kind=type(fault).__name__, message=str(fault), exit_code=int(ExitCode.CRASH)
        )
        log.exception("the task crashed")
    result = result or Result(
        task=arguments.task,
        pipeline=arguments.pipeline,
        run=arguments.run,
        attempt=arguments.attempt,
        error=failure,
    )
    told = {
        "inputs": dict(pair.split("=", 1) for pair in arguments.input if "=" in pair),
        "resources": used(time.monotonic() - clock, result.resources),
        "started": started,
        "ended": datetime.now(UTC),
    }
    code = _write(arguments.result, result.model_copy(update=told), word)
    return failure.exit_code if failure else code


def _log() -> None:
    """Show our own news and other people's warnings, also where a launcher logged before."""
    logging.basicConfig(
        level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", force=True
    )
    log.setLevel(logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda r: r.levelno >= logging.WARNING or r.name.startswith(log.name))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ml_tasks", description="Run one task of a pipeline."
    )
    parser.add_argument("task", choices=task_names())
    parser.add_argument("--pipeline", required=True, help="name of the pipeline's YAML file")
    parser.add_argument("--run", required=True, help="slug of the run")
    parser.add_argument("--attempt", type=int, default=1, help="number of this try")
    parser.add_argument("--window", help="START/END, half-open, in UTC")
    parser.add_argument("--trigger", help="id of the trigger that the run works for")
    parser.add_argument(
        "--input", action="append", default=[], metavar="TASK=URI", help="result of a needed task"
    )
    parser.add_argument("--result", required=True, metavar="URI", help="where the result goes")
    return parser


def _environment() -> Environment:
    try:
        return config.Environment()
    except ValidationError as fault:
        raise ConfigError(config.explain_variables(fault)) from fault


def _word(arguments: argparse.Namespace, environment: Environment) -> Word | None:
    """Begin on the attempt; under torchrun only the first rank does, which publishes for all."""
    from ml_tasks.io import word
    from ml_tasks.training import ddp

    task = f"{arguments.pipeline}/{arguments.run}/{arguments.task}"
    return word.taken(environment, task, arguments.attempt) if ddp.is_first() else None


def _run(arguments: argparse.Namespace, environment: Environment, word: Word | None) -> Result:
    from ml_tasks.io import circumstances

    context = _context(arguments, environment, word)
    pipeline = config.load(context.pipeline, context.environment.pipelines)
    module = importlib.import_module(f"ml_tasks.{context.task}")
    result: Result = module.run(pipeline, context)
    circumstances.keep_packages(context.environment.objects_root)
    return result.model_copy(update={"circumstances": circumstances.here(pipeline)})


def _context(arguments: argparse.Namespace, environment: Environment, word: Word | None) -> Context:
    from ml_tasks.io import objects

    try:
        window = Window.parse(arguments.window) if arguments.window else None
    except ValueError as fault:
        raise ConfigError(str(fault)) from fault
    inputs = {}
    for pair in arguments.input:
        task, equals, uri = pair.partition("=")
        if not equals:
            raise ConfigError(f"--input: came {pair!r}, wanted TASK=URI")
        inputs[task] = objects.read_result(uri)
    return Context(
        task=arguments.task,
        pipeline=arguments.pipeline,
        run=arguments.run,
        attempt=arguments.attempt,
        environment=environment,
        window=window,
        trigger=arguments.trigger,
        inputs=inputs,
        turn=word.turn if word else None,
        answer=arguments.result,
    )


def used(wall: float, beyond: Resources) -> Resources:
    """Give what this process used, and what the task knows of beyond it: GPUs, other ranks."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Linux counts kilobytes, macOS bytes.
    unit = 1024**2 if sys.platform == "darwin" else 1024
    spent = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    return Resources(
        wall_seconds=round(wall, 3),
        cpu_seconds=round(spent + beyond.cpu_seconds, 3),
        peak_memory_mb=round(max(own.ru_maxrss, children.ru_maxrss) / unit, 1),
        gpu_seconds=round(beyond.gpu_seconds, 3),
    )


def _write(uri: str, result: Result, own: Word | None) -> int:
    """Write the result; under torchrun only the first rank speaks."""
    from ml_tasks.io import word
    from ml_tasks.training import ddp

    if not ddp.is_first():
        return int(ExitCode.OK)
    try:
        word.write(uri, result, own)
    except PerennialError as fault:
        log.error("the result cannot be written: %s", fault)
        return int(fault.exit_code)
    return int(ExitCode.OK)


def _leave(code: int) -> NoReturn:
    """End without taking down all that was imported, which takes a second or two."""
    try:
        atexit._run_exitfuncs()  # others remove their folders so
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):  # it may be closed
                stream.flush()
    finally:
        os._exit(code)


if __name__ == "__main__":
    _leave(main())
