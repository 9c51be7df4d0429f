"""Who may let a version count, and what is left beside it; on MLflow's own store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from mlflow.exceptions import MlflowException
from onnx import TensorProto
from onnx.helper import make_graph, make_model, make_node, make_tensor_value_info

from ml_tasks.errors import ConfigError, LeaseLostError
from ml_tasks.io.control import Control
from ml_tasks.io.registry import COMPLETE, RUN, Registry
from perennial import lineage

if TYPE_CHECKING:
    from pathlib import Path

    from ml_tasks.config import Environment
    from ml_tasks.io.leases import Lease

WORK = "registry p"


@pytest.fixture
def control(environment: Environment) -> Control:
    made = Control(environment.control)
    made.migrate()
    return made


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def registry(
    environment: Environment, url: str, request: pytest.FixtureRequest,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> Registry:  # fmt: skip
    """One pipeline's own, each test's of another name."""
    # Without a server MLflow keeps artifacts where it is called.
    monkeypatch.chdir(tmp_path)
    there = environment.model_copy(update={"mlflow_url": url})
    return Registry(there, request.node.name)


def told(run: str, weights: str = "w") -> dict[str, str]:
    return {RUN: run, "weights_hash": weights, "seed": "7"}


def drafted(registry: Registry, run: str, weights: str = "w") -> str:
    """Make a version that does not count yet."""
    identity = registry.run(run, "register")
    model = registry.client.create_logged_model(registry.experiment, source_run_id=identity)
    return registry.add(identity, model.model_id, told(run, weights))


def lost(control: Control) -> Lease:
    """Give a lease that another attempt has taken over and given back."""
    lease = control.lease(WORK, holder="r/register", attempt=1).__enter__()
    with control.lease(WORK, holder="r/register", attempt=2):
        pass
    return lease


def test_a_version_counts_by_its_last_tag(registry: Registry, control: Control) -> None:
    first, second = drafted(registry, "r"), drafted(registry, "other")
    assert registry.complete() == []
    assert registry.draft(told("r")) == first
    assert registry.draft(told("r", "others")) is None
    with control.lease(WORK, holder="r/register", attempt=1) as lease:
        for _ in range(2):
            registry.publish(first, {**told("r"), "seed": "8"}, lease)
    (whole,) = registry.complete()
    assert (str(whole.version), whole.tags["seed"]) == (first, "8")
    assert [str(version.version) for version in registry.versions()] == [second, first]


def test_who_lost_the_lease_lets_nothing_count(registry: Registry, control: Control) -> None:
    version = drafted(registry, "r")
    with pytest.raises(LeaseLostError):
        registry.publish(version, {**told("r"), "seed": "8"}, lost(control))
    assert registry.versions()[0].tags == told("r")


def test_who_finds_all_done_is_told_that_it_lost_the_lease(
    registry: Registry, control: Control
) -> None:
    version = drafted(registry, "r")
    with control.lease(WORK, holder="r/register", attempt=1) as lease:
        registry.publish(version, told("r"), lease)
    with pytest.raises(LeaseLostError):
        registry.publish(version, told("r"), lost(control))


def test_what_mlflow_refuses_is_the_lost_lease_where_there_is_one(
    registry: Registry, control: Control
) -> None:
    version = drafted(registry, "r")
    registry.client.delete_model_version(registry.pipeline, version)
    stale = lost(control)
    with pytest.raises(LeaseLostError), registry.under(stale, told("r")):
        registry.publish(version, told("r"), stale)
    with (
        control.lease(WORK, holder="r/register", attempt=3) as lease,
        pytest.raises(MlflowException, match="not found"),
        registry.under(lease, told("r")),
    ):
        registry.publish(version, told("r"), lease)


def test_what_other_attempts_left_goes_once_a_version_counts(
    registry: Registry, control: Control
) -> None:
    left, kept, stranger = (drafted(registry, run) for run in ("r", "r", "other"))

    def there() -> tuple[list[str], int]:
        models = registry.client.search_logged_models([registry.experiment])
        return [str(version.version) for version in registry.versions()], len(models)

    with control.lease(WORK, holder="r/register", attempt=1) as lease:
        with registry.under(lease, told("r")):
            pass
        assert there() == ([stranger, kept, left], 3), "nothing counts yet"
        with registry.under(lease, told("r", "others")):
            registry.publish(kept, told("r"), lease)
        assert there() == ([stranger, kept, left], 3), "what counts are other weights"
        with registry.under(lease, told("r")):
            pass
    assert there() == ([stranger, kept], 2)
    assert COMPLETE in registry.versions()[1].tags


def test_a_model_that_is_logged_late_leaves_a_closed_run_as_it_is(registry: Registry) -> None:
    identity = registry.run("r", "register")
    registry.end(identity, failed=False)
    graph = make_graph(
        [make_node("Identity", ["x"], ["prediction"])],
        "same",
        *([make_tensor_value_info(name, TensorProto.FLOAT, ["n"])] for name in ("x", "prediction")),
    )
    example = np.ones(3, np.float32)
    made = registry.log_model(
        identity, make_model(graph).SerializeToString(), {"x": example}, example
    )
    assert registry.client.get_run(identity).info.status == "FINISHED"
    model = registry.client.get_logged_model(made)
    assert (model.name, model.source_run_id) == ("onnx", identity)
    assert model.experiment_id == registry.experiment
    assert str(model.status) == "READY"


def test_where_nothing_was_registered_lineage_says_so(registry: Registry, control: Control) -> None:
    for wanted in ("champion", "1"):
        with pytest.raises(ConfigError, match=r"no version was registered yet; .* by -p"):
            lineage.find(registry, control, wanted)
