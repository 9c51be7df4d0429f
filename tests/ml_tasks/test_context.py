from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ml_tasks.context import Context, Turn
from ml_tasks.errors import ConfigError
from ml_tasks.result import Output, Result, Window

if TYPE_CHECKING:
    from ml_tasks.config import Environment


def test_where_and_who(environment: Environment) -> None:
    context = Context(task="derive", pipeline="p", run="r", attempt=2, environment=environment)
    assert (context.holder, context.who) == ("p/r/derive", "r/derive")
    assert context.folder == f"{environment.objects_root}/runs/p/r/derive/2"
    first, again = (replace(context, turn=Turn("p/r/derive", 2, number)) for number in (1, 2))
    assert first.folder == again.attempt_folder == context.folder
    assert again.folder == f"{context.folder}/2"
    with pytest.raises(ConfigError, match="derive: came no window, wanted --window"):
        context.required_window()


def test_inputs(environment: Environment) -> None:
    output = Output(uri="file:///x", content_hash="0")
    staged = Result(task="ingest", pipeline="p", run="r", outputs={"staged": output})
    window = Window.parse("2013-01-01/2013-01-08")
    context = Context(
        task="validate",
        pipeline="p",
        run="r",
        attempt=1,
        environment=environment,
        window=window,
        inputs={"ingest": staged},
    )
    assert context.required_window() == window
    assert context.output("ingest", "staged") == output
    for task, name in (("ingest", "other"), ("derive", "staged")):
        with pytest.raises(ConfigError, match=rf"wanted output '{name}' of '{task}'"):
            context.output(task, name)


def test_a_window_is_that_of_the_task_before(environment: Environment) -> None:
    first, second = Window.parse("2013-01-01/2013-01-08"), Window.parse("2013-01-08/2013-01-15")

    def after(mine: Window | None, its: Window | None) -> Context:
        before = Result(task="ingest", pipeline="p", run="r", window=its)
        return Context(
            task="validate", pipeline="p", run="r", attempt=1, environment=environment,
            window=mine, inputs={"ingest": before},
        )  # fmt: skip

    for mine, its in ((first, first), (None, first), (first, None)):
        assert after(mine, its).window == mine
    with pytest.raises(
        ConfigError, match=f"came window {second}, wanted that of its ingest, {first} in run r"
    ):
        after(second, first)
