"""From the training set to a recorded champion, on real flights and a real MLflow server."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ml_tasks import (
    assemble,
    baseline,
    claim,
    evaluate,
    judge,
    promote,
    prove,
    record,
    reference,
    register,
    train,
)
from ml_tasks.__main__ import used
from ml_tasks.config import Environment, Gate, Pipeline
from ml_tasks.context import Context
from ml_tasks.errors import (
    ConfigError,
    NothingToDo,
    NotPassedError,
    PromotionLostError,
    RejectedError,
)
from ml_tasks.flow import FLOWS
from ml_tasks.io import objects
from ml_tasks.io.control import Control
from ml_tasks.io.registry import Registry
from ml_tasks.result import Failure, Result, Window
from ml_tasks.training.champion import of_head
from ml_tasks.training.champion import reference as reference_of
from perennial.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlflow.entities import Run

WINDOW = Window.parse("2013-01-01/2013-01-22")
TASKS: dict[str, Callable[[Pipeline, Context], Result]] = {
    "claim": claim.run,
    "assemble": assemble.run,
    "prove": prove.run,
    "train": train.run,
    "baseline": baseline.run,
    "evaluate": evaluate.run,
    "judge": judge.run,
    "reference": reference.run,
    "register": register.run,
    "promote": promote.run,
    "record": record.run,
}
PASS = (
    Gate(name="floor", params={"metric": "roc_auc", "minimum": 0.55}),
    Gate(name="no_leak", params={"ceiling": 0.85}),
)


class Runner:
    """Runs the tasks of one training run in order, as a launcher would."""

    def __init__(self, pipeline: Pipeline, environment: Environment, run: str) -> None:
        self.pipeline, self.environment, self.run = pipeline, environment, run
        self.done: dict[str, Result] = {}

    def context(self, task: str, trigger: str | None = None) -> Context:
        needs = next(s.needs for s in FLOWS["training"] if s.task == task)
        return Context(
            task=task,
            pipeline=self.pipeline.name,
            run=self.run,
            attempt=1,
            environment=self.environment,
            window=WINDOW,
            trigger=trigger,
            inputs={need: self.done[need] for need in needs if need in self.done},
        )

    def go(self, *tasks: str, trigger: str | None = None) -> Result:
        for task in tasks:
            context, clock = self.context(task, trigger), time.monotonic()
            result = TASKS[task](self.pipeline, context)
            resources = used(time.monotonic() - clock, result.resources)
            self.done[task] = result.model_copy(update={"resources": resources})
            objects.write_result(f"{context.folder}/result.json", self.done[task])
        return self.done[tasks[-1]]


@pytest.fixture(scope="module")
def environment(lake_of_weeks: Environment, mlflow_url: str) -> Environment:
    return Environment(home=lake_of_weeks.home, mlflow_url=mlflow_url)


@pytest.fixture(scope="module")
def pipeline(flights: Pipeline) -> Pipeline:
    training = flights.training.model_copy(update={"epochs": 3, "params": {"hidden": [32]}})
    evaluation = flights.evaluation.model_copy(
        update={"gates": PASS, "baselines": ("majority", "logistic_regression")}
    )
    return flights.model_copy(update={"training": training, "evaluation": evaluation})


@pytest.fixture(scope="module")
def champion(pipeline: Pipeline, environment: Environment) -> Runner:
    control = Control(environment.control)
    control.migrate()
    trigger, _ = control.ask(pipeline.name, "form", str(WINDOW), who="test", evidence={})
    runner = Runner(pipeline, environment, "first")
    runner.go(*TASKS, trigger=trigger.id)
    return runner


def recorded(environment: Environment, pipeline: str, run: str) -> dict[str, Run]:
    registry = Registry(environment, pipeline)
    found = registry.client.search_runs([registry.experiment], f"tags.`perennial.run` = '{run}'")
    return {one.data.tags["perennial.task"]: one for one in found}


def test_the_champion_is_known_everywhere(champion: Runner, environment: Environment) -> None:
    name = champion.pipeline.name
    head = Control(environment.control).champion(name)
    assert head is not None
    assert head.run == "first"
    registry = Registry(environment, name)
    version = registry.client.get_model_version_by_alias(name, "champion")
    assert version.version == head.version == champion.done["register"].values["version"]
    assert version.tags["semantic_version"] == "1.0.0"
    assert version.tags["weights_hash"] == champion.done["train"].values["weights_hash"]
    assert version.tags["set_hash"] == champion.done["assemble"].values["set"]


def test_what_is_registered_predicts_what_was_evaluated(
    champion: Runner, environment: Environment
) -> None:
    import mlflow
    import numpy as np

    mlflow.set_tracking_uri(environment.mlflow_url)
    model = mlflow.pyfunc.load_model(champion.done["register"].values["model_uri"])
    signature = model.metadata.signature
    assert [i.name for i in signature.inputs] == ["numeric", "categorical"]
    example = model.metadata.load_input_example()
    assert {name: len(rows) for name, rows in example.items()} == {"numeric": 3, "categorical": 3}
    about = champion.done["train"].outputs["description"].uri or ""
    width = len(json.loads(objects.read_text(about))["spec"]["numeric"])
    rows = {
        "numeric": np.zeros((2, width), np.float32),
        "categorical": np.array([["UA", "EWR", "IAH"], ["??", "EWR", "IAH"]], dtype=object),
    }
    said = model.predict(rows)["prediction"]
    assert said.shape == (2,)
    assert ((said > 0) & (said < 1)).all()


def test_each_task_has_a_run_below_the_runs(champion: Runner, environment: Environment) -> None:
    runs = recorded(environment, champion.pipeline.name, "first")
    parent = runs.pop("")
    assert set(runs) == set(TASKS) - {"record"}
    assert {r.data.tags["mlflow.parentRunId"] for r in runs.values()} == {parent.info.run_id}
    assert {r.info.status for r in (parent, *runs.values())} == {"FINISHED"}
    assert parent.data.params["training.seed"] == "7"
    assert len(parent.data.params["lock"]) == 64
    assert parent.data.metrics["test.candidate.roc_auc"] > 0.55
    costs = {task: run.data.metrics["cost"] for task, run in runs.items()}
    assert parent.data.metrics["total.cost"] == pytest.approx(sum(costs.values()))
    assert costs["train"] > 0
    (used,) = parent.inputs.dataset_inputs
    assert champion.done["assemble"].values["set"].startswith(used.dataset.digest)
    client = Registry(environment, champion.pipeline.name).client
    history = client.get_metric_history(runs["train"].info.run_id, "log_loss")
    assert [m.step for m in history] == [0, 1, 2]
    memory = client.get_metric_history(runs["train"].info.run_id, "system/memory_mb")
    assert [m.step for m in memory] == [0, 1, 2]
    assert all(m.value > 0 for m in memory)
    files = {f.path for f in client.list_artifacts(runs["train"].info.run_id)}
    assert "curves.png" in files


def test_recording_again_changes_nothing(champion: Runner, environment: Environment) -> None:
    name = champion.pipeline.name
    before = recorded(environment, name, "first")
    champion.go("record")
    after = recorded(environment, name, "first")
    client = Registry(environment, name).client
    assert {t: r.info.run_id for t, r in after.items()} == {
        t: r.info.run_id for t, r in before.items()
    }
    for metric in ("log_loss", "system/cpu_percent"):
        history = client.get_metric_history(after["train"].info.run_id, metric)
        assert [m.step for m in history] == [0, 1, 2]


def test_registering_and_promoting_again_changes_nothing(
    champion: Runner, environment: Environment
) -> None:
    name, before = champion.pipeline.name, champion.done["register"].values
    assert champion.go("register").values == before
    assert len(Registry(environment, name).versions()) == 1
    champion.go("promote")
    assert len(Control(environment.control).audit(name)) == 1


def test_the_trigger_is_done_and_nobody_else_may_have_it(
    champion: Runner, environment: Environment, pipeline: Pipeline
) -> None:
    (trigger,) = Control(environment.control).triggers(pipeline.name)
    assert (trigger.state, trigger.outcome) == ("done", "promoted version 1")
    other = Runner(pipeline, environment, "other")
    with pytest.raises(NothingToDo, match="run first has it"):
        other.go("claim", trigger=trigger.id)
    assert champion.done["claim"].window == WINDOW


def test_a_challenger_is_judged_against_the_champion(
    champion: Runner, environment: Environment, pipeline: Pipeline
) -> None:
    """The same model again is not better: it is refused, and nothing is registered."""
    beats = Gate(name="beats_champion", params={"metric": "roc_auc"})
    evaluation = pipeline.evaluation.model_copy(update={"gates": (*PASS, beats)})
    runner = Runner(
        pipeline.model_copy(update={"evaluation": evaluation}), environment, "challenger"
    )
    runner.go("assemble", "prove", "train", "baseline", "evaluate", "judge")
    one, two = (r.done["train"].values["weights_hash"] for r in (runner, champion))
    assert one == two
    judged = runner.done["judge"].values
    assert [g["passed"] for g in judged["gates"]] == [True, True, False]
    assert judged["gates"][1]["evidence"].split()[1:3] == ["cells", "of"]
    assert judged["gates"][2]["measured"] == 0
    with pytest.raises(NotPassedError, match="1 gates did not pass: beats_champion: roc_auc is"):
        runner.go("reference")
    runner.done["reference"] = champion.done["reference"]
    with pytest.raises(NotPassedError, match="1 gates did not pass: beats_champion"):
        runner.go("register")
    assert len(Registry(environment, pipeline.name).versions()) == 1


def test_a_proof_of_another_set_proves_nothing(champion: Runner) -> None:
    done = champion.done["assemble"]
    other = done.outputs["set"].model_copy(update={"content_hash": "f" * 64})
    runner = Runner(champion.pipeline, champion.environment, "unproven")
    outputs = {**done.outputs, "set": other}
    runner.done = {**champion.done, "assemble": done.model_copy(update={"outputs": outputs})}
    with pytest.raises(ConfigError, match=r"on the set \w+ with seed 7, wanted f+ and 7; clear"):
        runner.go("evaluate")
    values = {**champion.done["baseline"].values, "set_hash": "f" * 64}
    fitted = champion.done["baseline"].model_copy(update={"values": values})
    runner.done["baseline"] = fitted
    judged = runner.go("evaluate", "judge").values
    assert [g["passed"] for g in judged["gates"]] == [True, False]
    assert "what was trained on was not proven" in judged["gates"][1]["evidence"]


def test_a_baseline_that_was_not_fitted_is_asked_for(champion: Runner) -> None:
    evaluation = champion.pipeline.evaluation.model_copy(
        update={"baselines": ("majority", "gradient_boosting")}
    )
    pipeline = champion.pipeline.model_copy(update={"evaluation": evaluation})
    runner = Runner(pipeline, champion.environment, "more")
    runner.done = {**champion.done}
    with pytest.raises(ConfigError, match=r"\['gradient_boosting'\] were not fitted, and are"):
        runner.go("evaluate")


def test_a_reference_of_another_model_is_not_registered(champion: Runner) -> None:
    runner = Runner(champion.pipeline, champion.environment, "first")
    values = {**champion.done["reference"].values, "weights_hash": "f" * 64}
    other = champion.done["reference"].model_copy(update={"values": values})
    runner.done = {**champion.done, "reference": other}
    with pytest.raises(RejectedError, match=r"the reference is of model f+, .*; clear reference"):
        runner.go("register")


def test_a_champion_whose_run_was_refused_since_is_watched_as_before(champion: Runner) -> None:
    """Its run was cleared: beside itself it is no better, and `reference` was skipped."""
    head = Control(champion.environment.control).champion(champion.pipeline.name)
    assert head is not None
    before, first = reference_of(champion.environment, head), champion.context("reference")
    assert before == champion.done["reference"].outputs["reference"].uri
    for attempt, values in ((2, {"weights_hash": "f" * 64}), (3, {})):
        again = replace(first, attempt=attempt)
        error = None if values else Failure(kind="NotPassedError", message="no", exit_code=99)
        outputs = champion.done["reference"].outputs if values else {}
        left = again.result(outputs=outputs, values=values).model_copy(update={"error": error})
        objects.write_result(f"{again.folder}/result.json", left)
    try:
        assert reference_of(champion.environment, head) == before
    finally:
        for attempt in (2, 3):
            folder = replace(first, attempt=attempt).folder
            Path(folder.removeprefix("file://"), "result.json").unlink()


def test_a_verdict_about_another_model_is_refused(champion: Runner) -> None:
    other = champion.done["train"].outputs["model"].model_copy(update={"content_hash": "f" * 64})
    outputs = {**champion.done["train"].outputs, "model": other}
    runner = Runner(champion.pipeline, champion.environment, "first")
    runner.done = {
        **champion.done,
        "train": champion.done["train"].model_copy(update={"outputs": outputs}),
    }
    with pytest.raises(RejectedError, match=r"the verdict is about model .*, came ffff"):
        runner.go("reference")
    with pytest.raises(RejectedError, match=r"the verdict is about model .*, came ffff"):
        runner.go("register")


def test_who_was_judged_against_an_older_champion_is_told(
    champion: Runner, environment: Environment, pipeline: Pipeline
) -> None:
    """Two candidates judged while nobody was champion: the second is told who won."""
    late = Runner(pipeline, environment, "late")
    late.done = {**champion.done}
    registered = champion.done["register"]
    values = {**registered.values, "version": "9"}
    late.done["register"] = registered.model_copy(update={"values": values})
    with pytest.raises(PromotionLostError, match=r"version 9 .* champion None, but 1 is champion"):
        late.go("promote")


def test_a_version_of_another_model_is_not_promoted(
    champion: Runner, environment: Environment, pipeline: Pipeline
) -> None:
    swapped = Runner(pipeline, environment, "swapped")
    swapped.done = {**champion.done}
    values = champion.done["register"].values
    tags = {**values["tags"], "weights_hash": "f" * 64}
    swapped.done["register"] = champion.done["register"].model_copy(
        update={"values": {**values, "tags": tags}}
    )
    with pytest.raises(RejectedError, match=r"version 1 is model ffff.*run register again"):
        swapped.go("promote")


def test_record_brings_the_alias_back_to_the_head(
    champion: Runner, environment: Environment
) -> None:
    registry = Registry(environment, champion.pipeline.name)
    registry.client.delete_registered_model_alias(champion.pipeline.name, "champion")
    champion.go("record")
    version = registry.client.get_model_version_by_alias(champion.pipeline.name, "champion")
    assert version.version == champion.done["register"].values["version"]


def test_a_champion_whose_objects_are_gone_is_named(
    champion: Runner, environment: Environment
) -> None:
    head = Control(environment.control).champion(champion.pipeline.name)
    assert head is not None
    with pytest.raises(ConfigError, match=r"champion 1 of .*: no model .* restore that run's"):
        of_head(environment, replace(head, run="nobody"))
    with pytest.raises(ConfigError, match=r"champion 1 of .*: no verdict at file:///none"):
        of_head(environment, replace(head, verdict_uri="file:///none"))


def test_a_failed_run_is_recorded_as_failed(environment: Environment, pipeline: Pipeline) -> None:
    runner = Runner(pipeline, environment, "broken")
    failure = Failure(kind="RejectedError", message="no labels", exit_code=65)
    result = Result(task="assemble", pipeline=pipeline.name, run="broken", error=failure)
    folder = f"{environment.objects_root}/runs/{pipeline.name}/broken/assemble/1"
    objects.write_result(f"{folder}/result.json", result)
    done = runner.go("record")
    assert done.values["failed"] is True
    runs = recorded(environment, pipeline.name, "broken")
    assert {r.info.status for r in runs.values()} == {"FAILED"}
    assert record.outcome({"assemble": result}) == "assemble: no labels"


def test_a_task_that_was_killed_fails_its_run() -> None:
    done = {t: Result(task=t, pipeline="p", run="r") for t in ("ingest", "validate")}
    assert record.killed_task(done) == "derive"
    assert record.outcome(done) == "derive: it was killed and left no result"
    done["materialise"] = Result(task="materialise", pipeline="p", run="r")
    assert record.killed_task(done) is None, "there was no task in between when this ran"
    skip = Failure(kind="NothingToDo", message="another run has it", exit_code=99)
    skipped = {"claim": Result(task="claim", pipeline="p", run="r", error=skip)}
    assert record.killed_task(skipped) is None
    assert record.outcome(skipped) == "another run has it"
    assert not record.faulty(skipped["claim"])


@pytest.mark.parametrize(
    ("features", "training", "wanted"),
    [("a", "a", "1.4.3"), ("a", "b", "1.5.0"), ("b", "a", "2.0.0"), ("b", "b", "2.0.0")],
)
def test_semantic_versions(features: str, training: str, wanted: str) -> None:
    last = {"semantic_version": "1.4.2", "features_hash": "a", "training_hash": "a"}
    new = {"features_hash": features, "training_hash": training}
    assert register.next_version(new, [last]) == wanted
    assert register.next_version(new, []) == "1.0.0"


@pytest.fixture
def command(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """A command of this pipeline, called in this home."""
    monkeypatch.setenv("PERENNIAL_HOME", str(environment.home))
    monkeypatch.setenv("PERENNIAL_MLFLOW_URL", environment.mlflow_url)
    return lambda *words: main([*words])


@pytest.fixture(scope="module")
def second(champion: Runner, environment: Environment, pipeline: Pipeline) -> Runner:
    training = pipeline.training.model_copy(update={"seed": pipeline.training.seed + 1})
    runner = Runner(pipeline.model_copy(update={"training": training}), environment, "second")
    runner.go(*(task for task in TASKS if task != "claim"))
    assert runner.done["promote"].values["before"] == "1"
    assert champion.run == "first"
    return runner


class TestRollback:
    """A second version is promoted, found wanting, and stays away."""

    def test_the_version_before_is_champion_everywhere(
        self, second: Runner, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
    ) -> None:
        name = second.pipeline.name
        assert command("rollback", "-p", name, "--why", "late ones are missed") == 0
        said = capsys.readouterr().out
        assert f"{name}: version 1 is champion in the place of 2" in said
        assert f"Airflow does not run: nobody was told by champion({name})" in said
        control, registry = Control(second.environment.control), Registry(second.environment, name)
        head = control.champion(name)
        assert head is not None
        assert (head.version, head.run, registry.aliased()) == ("1", "first", "1")
        assert control.audit(name)[-1].why == "late ones are missed"

    def test_a_retry_of_its_run_does_not_bring_it_back(self, second: Runner) -> None:
        with pytest.raises(PromotionLostError, match="version 2 was champion by run second before"):
            second.go("promote")
        second.go("evaluate", "judge", "register")
        assert second.done["register"].values["version"] == "2"
        with pytest.raises(PromotionLostError, match="a retry does not undo that"):
            second.go("promote")
        second.go("record")
        assert Registry(second.environment, second.pipeline.name).aliased() == "1"

    def test_the_next_training_is_measured_beside_the_champion_of_today(
        self, second: Runner
    ) -> None:
        third = Runner(second.pipeline, second.environment, "third")
        third.go("assemble", "prove", "train", "baseline", "evaluate", "judge")
        assert third.done["evaluate"].values["champion"] == "1"

    @pytest.mark.parametrize(
        ("words", "code", "message"),
        [
            (("--to", "1"), 78, "version 1 is champion already, since"),
            (("--to", "9"), 78, "came version '9', wanted one of ['2 (1.1.0)', '1 (1.0.0)']"),
            ((), 78, "nothing to roll back to, no version was champion before 1; name another"),
        ],
    )
    def test_what_cannot_be_is_said(
        self,
        second: Runner,
        command: Callable[..., int],
        words: tuple[str, ...],
        code: int,
        message: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert command("rollback", "-p", second.pipeline.name, "--why", "x", *words) == code
        assert message in capsys.readouterr().err
