"""Tasks promote at once beside a real tracking server: the alias follows the head.

3 races of 4 processes; with `PERENNIAL_FAULTS=all` 20 of 16.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ml_tasks.config import Environment
from ml_tasks.io.control import Control
from ml_tasks.io.registry import Registry

if TYPE_CHECKING:
    from mlflow import MlflowClient

PROMOTERS = 16
REJECTED = 65
PIPELINE = "flight_delays"


class Field:
    """Runs that each have a version which may be promoted, on the story's platform."""

    def __init__(self, story: Any, count: int) -> None:
        self.world, self.step = story.world, story.steps["first-promote"]
        story.world.back_to("first-promote")
        environment = Environment(home=self.world.home, mlflow_url=self.world.mlflow_url)
        self.control, self.registry = Control(environment.control), Registry(environment, PIPELINE)
        model = self.client.get_model_version(PIPELINE, "1").source
        self.results: list[str] = []
        registered = self.world.result(story.steps["first-register"], 1)
        for version in range(1, count + 1):
            if version > 1:
                identity = model.rsplit("/", 1)[-1]
                self.client.create_model_version(PIPELINE, model, model_id=identity)
            values = {**registered.values, "version": str(version)}
            file = self.world.home / f"register{version}.json"
            file.write_text(registered.model_copy(update={"values": values}).model_dump_json())
            self.results.append(file.as_uri())

    @property
    def client(self) -> MlflowClient:
        return self.registry.client

    def start(self, version: int, **faults: Any) -> Any:
        argv = self.world.argv(self.step, version, f"run{version}")
        place = next(n for n, word in enumerate(argv) if word.startswith("register="))
        argv[place] = f"register={self.results[version - 1]}"
        return self.world.forks.start(argv, **faults)

    @property
    def head(self) -> str:
        head = self.control.champion(PIPELINE)
        return "" if head is None else head.version

    @property
    def alias(self) -> str:
        return str(self.client.get_model_version_by_alias(PIPELINE, "champion").version)

    def win(self, version: int, *, over: str) -> None:
        """Set the head as a promoter does that is killed before it sets the alias."""
        self.control.promote(
            PIPELINE,
            str(version),
            expected=over,
            run=f"run{version}",
            verdict_uri="",
            who="test",
            why="better",
        )


def test_races_with_a_tracking_server(story: Any, full: bool) -> None:
    promoters = PROMOTERS if full else 4
    for _ in range(20 if full else 3):
        field = Field(story, promoters)
        started = [field.start(version) for version in range(1, promoters + 1)]
        codes = [child.wait() for child in started]
        assert sorted(codes) == [0] + [REJECTED] * (promoters - 1)
        winner = codes.index(0) + 1
        assert field.head == field.alias == str(winner)
        for version in set(range(1, promoters + 1)) - {winner}:
            lost = field.world.result(field.step, version).error
            assert lost.kind == "PromotionLostError"
            assert f"but {winner} is champion since" in lost.message


def test_record_sets_an_alias_that_was_left_behind(story: Any) -> None:
    field = Field(story, 2)
    assert field.start(1).wait() == 0
    field.win(2, over="1")
    assert (field.head, field.alias) == ("2", "1")
    field.world.run(story.steps["base-record"], 2)
    assert (field.head, field.alias) == ("2", "2")


def test_a_promoter_that_stopped_before_its_alias_does_not_take_it_back(story: Any) -> None:
    field = Field(story, 2)
    first = field.start(1, stop={"at": "/registered-models/alias"})
    assert first.until_stopped(), first.log.read_text()
    field.win(2, over="1")
    field.registry.follow(field.control)
    assert (field.head, field.alias) == ("2", "2")
    assert first.resume() == 0
    assert (field.head, field.alias) == ("2", "2")


@pytest.mark.parametrize("at", ["control promote", "/registered-models/alias"])
def test_killed_beside_the_head_the_retry_sets_both(story: Any, at: str) -> None:
    field = Field(story, 1)
    child = field.start(1, stop={"at": at})
    assert child.until_stopped(), child.log.read_text()
    child.kill()
    child.wait()
    assert field.start(1).wait() == 0
    assert field.head == field.alias == "1"
    assert len(field.control.audit(PIPELINE)) == 1
