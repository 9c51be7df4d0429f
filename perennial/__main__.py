"""The command line for people."""

from __future__ import annotations

import logging
import signal
import sys
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from ml_tasks import config
from ml_tasks.errors import ExitCode, PerennialError
from ml_tasks.flow import FLOWS
from perennial import (
    alarms,
    alerts,
    audit,
    backtest,
    backup,
    clean,
    configs,
    console,
    cost,
    env,
    image,
    ledger,
    new_product,
    restore,
    rollback,
    triggers,
    year,
)
from perennial.entry import INTERRUPTED
from perennial.given import environment, opened, require_product

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(
    help="Continuous training on this machine: start it, look at it, run parts of it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(configs.app, name="config")
new_app = typer.Typer(help="Make something new.", no_args_is_help=True)
app.add_typer(new_app, name="new")
new_app.command("product")(new_product.command)
app.command("image")(image.command)
app.command("backtest")(backtest.command)
app.command("backup")(backup.command)
app.command("restore")(restore.command)
app.command("clean")(clean.command)
app.command("cost")(cost.command)
app.command("env")(env.command)
app.command("ledger")(ledger.command)
app.command("rollback")(rollback.command)
app.command("year")(year.command)
app.add_typer(alarms.app, name="alarms")
app.add_typer(alerts.app, name="alerts")
app.add_typer(audit.app, name="audit")
app.add_typer(triggers.app, name="triggers")

PipelineName = Annotated[str, typer.Option("--pipeline", "-p", help="Name of its YAML file.")]
EXAMPLE = "flight_delays"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; give its exit code, the same as a task's for the same fault."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        words = None if argv is None else list(argv)
        code = app(args=words, prog_name="perennial", standalone_mode=False)
    except PerennialError as fault:
        console.fail(str(fault))
        return int(fault.exit_code)
    except typer.TyperException as fault:
        entered = getattr(fault, "ctx", None)
        command = entered.command_path if entered else "perennial"
        console.fail(f"{fault.format_message()}\nsee {command} --help")
        return int(ExitCode.CONFIG)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:  # Typer, too, makes that of an interruption
        with suppress(OSError):  # the terminal may be gone
            console.fail("interrupted")
    return code if isinstance(code, int) else int(ExitCode.OK)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _version(wanted: bool) -> None:
    if wanted:
        console.plain(f"perennial {metadata.version('perennial')}")
        raise typer.Exit


@app.callback()
def _entered(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Say which version this is.", callback=_version, is_eager=True
        ),
    ] = False,
) -> None: ...


@app.command()
def up(
    profile: Annotated[
        str | None,
        typer.Option(help="embedded, or servers: Postgres, Redis and S3 too. The home keeps it."),
    ] = None,
) -> int:
    """Start MLflow, the warm launcher and Airflow on free ports; again starts what ended."""
    from perennial import views
    from perennial.services import Services

    services = Services(environment(profile))
    try:
        with console.waiting("starting") as show:
            started = services.up(lambda name, seconds: show(f"{name} ready after {seconds:.0f} s"))
    except KeyboardInterrupt:
        console.plain("services that began to start go on: perennial down ends them")
        raise
    console.say(f"started: {', '.join(started)}" if started else "everything runs already")
    views.addresses(services)
    return ExitCode.OK


@app.command()
def down() -> int:
    """End all that `up` and `demo` started; state stays where it is."""
    from perennial.services import Services

    ended = Services(environment()).down()
    console.say(f"ended: {', '.join(ended)}" if ended else "nothing was running")
    return ExitCode.OK


@app.command()
def status() -> int:
    """Show services, pipelines, windows, champions and triggers."""
    from perennial import views
    from perennial.services import Services

    return views.status(Services(environment()))


@app.command()
def doctor() -> int:
    """Look for what could be in the way, and say what to do about it."""
    from perennial import doctor as physician
    from perennial.services import Services

    findings = physician.look(Services(environment()))
    console.table(
        "Doctor",
        ("", "what", "found", "what to do"),
        [("ok" if f.good else "!!", f.what, f.found, "" if f.good else f.mend) for f in findings],
    )
    return ExitCode.OK if all(f.good for f in findings) else ExitCode.CONFIG


@app.command()
def demo(
    pipeline: PipelineName = EXAMPLE,
    until: Annotated[
        str, typer.Option(help="Ingest the windows that end by this day.")
    ] = "2013-06-04",
    follow: Annotated[
        int, typer.Option(min=0, help="Weeks to go on for, until a second training is judged.")
    ] = 10,
) -> int:
    """Start everything, ingest week by week, train, gate and promote; leave the services running.

    Then weeks go by, each watched, until a policy asks for a training and its model is judged. What
    was done before is not done again. Ctrl-C ends the services, unless some ran before; the next
    call goes on.
    """
    from perennial import demo as show
    from perennial.services import Services

    given = environment()
    return show.run(Services(given), config.load(pipeline, given.pipelines), until, follow)


@app.command()
def run(
    task: Annotated[str, typer.Argument(help=f"A task, or a flow: {', '.join(FLOWS)}.")],
    window: Annotated[str, typer.Option(help="START/END, half-open, UTC.")] = "",
    pipeline: PipelineName = EXAMPLE,
    name: Annotated[
        str, typer.Option("--run", help="Name of the run; results of its tasks are found by it.")
    ] = "",
) -> int:
    """Run a task or a whole flow without Airflow, by the same command lines."""
    from perennial import runner
    from perennial.services import Services

    given = Services(environment()).present
    return runner.run(
        given,
        config.load(pipeline, given.pipelines),
        task,
        window=window or None,
        name=name,
    )


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="A service, or a DAG.")] = "scheduler",
    task: Annotated[str, typer.Argument(help="Its task; else what failed or began last.")] = "",
    dag_run: Annotated[
        str, typer.Option("--run", help="Its run, as Airflow or lineage names it; else the newest.")
    ] = "",
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=1, help="How many of the last lines.")
    ] = 50,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on as a service writes.")
    ] = False,
) -> int:
    """Show the log of a service, or of a task of a DAG's run."""
    from perennial import logs as reader
    from perennial.services import Services

    services = Services(environment())
    if "__" in name:
        return reader.task(services, name, task, dag_run, lines)
    return reader.service(services, name, lines, follow=follow)


@app.command()
def repro(
    capsule: Annotated[str, typer.Argument(help="Address of the capsule that a failure left.")],
    show: Annotated[bool, typer.Option("--show", help="Only show it.")] = False,
) -> int:
    """Enter a failed step again, here: the same attempt, whose result counts for nobody."""
    from perennial import repro as again
    from perennial.services import Services

    return again.run(Services(environment()).present, _uri(capsule), only_show=show)


@app.command()
def lineage(
    version: Annotated[str, typer.Argument(help="Number, semantic version, or `champion`.")],
    pipeline: PipelineName = EXAMPLE,
) -> int:
    """Follow a model version back: model, run, data, rows."""
    from perennial import lineage as line

    services, control = opened()
    require_product(pipeline, services.given, control.audit(pipeline))
    if "mlflow" in services.names:
        services.require("mlflow")
    return line.show(services.present, pipeline, version)


@app.command()
def parity(
    pipeline: Annotated[str, typer.Argument(help="Name of its YAML file.")],
    window: Annotated[str, typer.Option(help="START/END, half-open, UTC.")],
    places: Annotated[
        str, typer.Option("--in", help="The two places: local or kubernetes, a comma between.")
    ] = "local,kubernetes",
    keep: Annotated[bool, typer.Option("--keep", help="Leave what was made for it.")] = False,
) -> int:
    """Run the loop in two places and hold each output of one against that of the other."""
    from perennial import parity as both
    from perennial.services import Services

    present = Services(environment()).present
    chosen = tuple(place.strip() for place in places.split(","))
    wanted = config.load(pipeline, present.pipelines)
    return both.command(present, wanted, window, chosen, keep=keep)


def _uri(text: str) -> str:
    return text if "://" in text else Path(text).resolve().as_uri()


if __name__ == "__main__":
    sys.exit(main())
