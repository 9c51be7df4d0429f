"""The head in control and MLflow's alias, on MLflow's own store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ml_tasks import promote
from ml_tasks.context import Context
from ml_tasks.errors import ConfigError, PromotionLostError, RejectedError
from ml_tasks.gates.verdict import Judgement, Verdict
from ml_tasks.io import objects
from ml_tasks.io.control import Control
from ml_tasks.io.registry import Registry
from ml_tasks.result import Output, Result

if TYPE_CHECKING:
    from pathlib import Path

    from ml_tasks.config import Environment

GOOD = Judgement(gate="floor", passed=True, measured=1.0, threshold=">= 0", evidence="it is")


@pytest.fixture
def environment(environment: Environment, tmp_path: Path) -> Environment:
    url = f"sqlite:///{tmp_path}/mlflow.db"
    made = environment.model_copy(update={"mlflow_url": url})
    client = Registry(made, "p").client
    client.create_registered_model("p")
    for _ in range(3):
        client.create_model_version("p", f"{tmp_path.as_uri()}/model")
    Control(made.control).migrate()
    return made


def context(
    environment: Environment,
    run: str = "r",
    *,
    version: str = "1",
    champion: str | None = None,
    weights: str = "w",
    passed: bool = True,
    uri: bool = True,
) -> Context:
    verdict = Verdict(
        pipeline="p", run=run, candidate="w", champion=champion, passed=passed, judgements=(GOOD,)
    )  # fmt: skip
    where = f"{environment.objects_root}/{run}/verdict.json"
    objects.write_text(where, verdict.model_dump_json())
    output = Output(uri=where if uri else None, content_hash="h")
    values = {"version": version, "semantic_version": f"{version}.0.0"}
    registered = {**values, "tags": {"weights_hash": weights}}
    return Context(
        task="promote",
        pipeline="p",
        run=run,
        attempt=1,
        environment=environment,
        inputs={
            "judge": Result(task="judge", pipeline="p", run=run, outputs={"verdict": output}),
            "register": Result(task="register", pipeline="p", run=run, values=registered),
        },
    )


def alias(environment: Environment) -> str:
    found = Registry(environment, "p").client.get_model_version_by_alias("p", "champion")
    return str(found.version)


def test_head_alias_and_audit_say_the_same(environment: Environment) -> None:
    for version, before in (("1", None), ("2", "1")):
        asked = context(environment, f"r{version}", version=version, champion=before)
        for _ in range(2):
            done = promote.run(None, asked)  # type: ignore[arg-type]
            assert done.values == {
                "version": version, "semantic_version": f"{version}.0.0", "before": before
            }  # fmt: skip
        assert alias(environment) == version
    control = Control(environment.control)
    head = control.champion("p")
    assert head is not None
    assert (head.version, head.run) == ("2", "r2")
    assert head.verdict_uri.endswith("/r2/verdict.json")
    entries = control.audit("p")
    assert [(e.who, e.why, e.action) for e in entries] == [
        ("r1/promote", "all 1 gates passed", "promote"),
        ("r2/promote", "all 1 gates passed", "promote"),
    ]
    assert control.verify_audit() is None


@pytest.mark.parametrize(
    ("told", "error", "message"),
    [
        ({"passed": False}, RejectedError, "the verdict did not pass: there is nothing to promote"),
        (
            {"weights": "other"},
            RejectedError,
            "version 1 is model other, the verdict is about w: r",
        ),
        ({"uri": False}, ConfigError, "judge's output 'verdict' is no object; run judge again"),
        ({"champion": "7"}, PromotionLostError, "judged against champion 7, but None is champion"),
    ],
)
def test_what_is_refused_changes_nothing(
    told: dict[str, object], error: type[Exception], message: str, environment: Environment
) -> None:
    with pytest.raises(error, match=message):
        promote.run(None, context(environment, **told))  # type: ignore[arg-type]
    control = Control(environment.control)
    assert control.champion("p") is None
    assert control.audit() == []


def test_who_was_judged_before_another_became_champion_loses(environment: Environment) -> None:
    promote.run(None, context(environment, "first", version="1"))  # type: ignore[arg-type]
    with pytest.raises(PromotionLostError, match=r"but 1 is champion since .* by run first; train"):
        promote.run(None, context(environment, "second", version="2"))  # type: ignore[arg-type]
    assert alias(environment) == "1"


def test_a_retry_once_a_successor_is_champion_leaves_the_alias_with_it(
    environment: Environment,
) -> None:
    """It was killed between head and alias; by now neither is its own."""
    control = Control(environment.control)
    for run, version, before in (("r1", "1", None), ("r2", "2", "1")):
        control.promote(
            "p", version, expected=before, run=run, verdict_uri="u", who="x", why="y"
        )  # fmt: skip
    with pytest.raises(PromotionLostError, match="judged against champion None, but 2 is champion"):
        promote.run(None, context(environment, "r1"))  # type: ignore[arg-type]
    assert Registry(environment, "p").follow(control) == control.champion("p")
    assert alias(environment) == "2"
