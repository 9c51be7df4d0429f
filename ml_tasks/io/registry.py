"""Runs and model versions in MLflow, through one tracking server."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_tasks.errors import BackendError
from ml_tasks.io import tracking

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from mlflow import MlflowClient

    from ml_tasks.config import Environment
    from ml_tasks.io.champions import Champions, Head
    from ml_tasks.io.leases import Lease

RUN, TASK, PIPELINE = "perennial.run", "perennial.task", "perennial.pipeline"
COMPLETE = "complete"
"""The tag that makes a version count; set last, while the lease is held."""
ALIAS = "champion"
KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Lets MLflow's UI show the experiment as one of models, not of language models."""
BATCH = 900
"""Entries that one request may carry, a little below the server's limit of 1,000."""
PARAM_LENGTH = 500
DIGEST_LENGTH = 36


class Registry:
    """One pipeline's experiment and registered model."""

    def __init__(self, environment: Environment, pipeline: str) -> None:
        """Remember where the server is; nothing is asked yet."""
        self._url, self.pipeline = environment.mlflow_url, pipeline

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's client."""
        return tracking.client(self._url)

    @cached_property
    def experiment(self) -> str:
        """Id of the pipeline's experiment, made when it is not there.

        Raises:
            BackendError: The server does not answer.
        """
        from mlflow.exceptions import MlflowException

        try:
            found = self.client.get_experiment_by_name(self.pipeline)
            if found is not None:
                return str(found.experiment_id)
            return str(self.client.create_experiment(self.pipeline, tags=KIND))
        except MlflowException as fault:
            again = None
            if fault.error_code == "RESOURCE_ALREADY_EXISTS":
                again = self.client.get_experiment_by_name(self.pipeline)
            if again is None:
                raise BackendError(f"MLflow at {self._url}: {fault}") from fault
            return str(again.experiment_id)

    def run(
        self,
        run: str,
        task: str | None = None,
        *,
        tags: Mapping[str, str] = {},
        started: datetime | None = None,
    ) -> str:
        """Give the id of a run, or of one of its tasks below it; made when it is not there."""
        parent = None if task is None else self.run(run)
        wanted = f"tags.`{RUN}` = '{run}' and tags.`{TASK}` = '{task or ''}'"
        found = self.client.search_runs([self.experiment], wanted, max_results=1)
        if found:
            identity = str(found[0].info.run_id)
            for name, value in tags.items():
                self.client.set_tag(identity, name, value)
            return identity
        own = {RUN: run, TASK: task or "", PIPELINE: self.pipeline, **tags}
        if parent is not None:
            own["mlflow.parentRunId"] = parent
        made = self.client.create_run(
            self.experiment, _milliseconds(started), tags=own, run_name=task or run
        )
        return str(made.info.run_id)

    def log(
        self,
        identity: str,
        *,
        params: Mapping[str, Any] = {},
        metrics: Mapping[str, float] = {},
        history: Sequence[Mapping[str, float]] = (),
    ) -> None:
        """Write params and metrics to a run; `history` holds one mapping an epoch, with `epoch`.

        The same again changes nothing that a reader sees.
        """
        import time

        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        known = self.client.get_run(identity).data
        points = [Metric(k, v, now, 0) for k, v in metrics.items() if known.metrics.get(k) != v]
        for name in dict.fromkeys(n for row in history for n in row if n != "epoch"):
            # What was killed between two requests goes on behind the last epoch that arrived.
            last = self._last_step(identity, name) if name in known.metrics else -1
            points += [
                Metric(name, row[name], now, int(row["epoch"]))
                for row in history
                if name in row and row["epoch"] > last
            ]
        pairs = [
            Param(k, str(v)[:PARAM_LENGTH]) for k, v in params.items() if k not in known.params
        ]
        for chunk in _chunks(points):
            self.client.log_batch(identity, metrics=chunk)
        for chunk in _chunks(pairs, 100):
            self.client.log_batch(identity, params=chunk)

    def _last_step(self, identity: str, metric: str) -> int:
        known = self.client.get_metric_history(identity, metric)
        return max(int(point.step) for point in known)

    def used(self, identity: str, *, name: str, digest: str, uri: str) -> None:
        """Say that a run was made from a data set; the same again is no fault."""
        import json

        from mlflow.entities import Dataset, DatasetInput

        known = self.client.get_run(identity).inputs.dataset_inputs
        short = digest[:DIGEST_LENGTH]
        if short not in {known_input.dataset.digest for known_input in known}:
            source = json.dumps({"uri": uri})
            data = Dataset(name, short, uri.partition(":")[0], source)
            self.client.log_inputs(identity, [DatasetInput(data)])

    def attach(self, identity: str, name: str, data: bytes) -> None:
        """Write a file to a run's artifacts."""
        folder, _slash, file = name.rpartition("/")
        with tempfile.TemporaryDirectory() as place:
            (Path(place) / file).write_bytes(data)
            self.client.log_artifact(identity, str(Path(place) / file), folder or None)

    def end(self, identity: str, *, failed: bool, at: datetime | None = None) -> None:
        """Close a run, as of now or of another moment."""
        self.client.set_terminated(identity, "FAILED" if failed else "FINISHED", _milliseconds(at))

    def versions(self) -> list[Any]:
        """Give the registered versions with their tags, newest first."""
        found = self.client.search_model_versions(f"name = '{self.pipeline}'")
        return sorted(found, key=lambda v: int(v.version), reverse=True)

    def complete(self) -> list[Any]:
        """Give the versions that count, newest first."""
        return [version for version in self.versions() if COMPLETE in version.tags]

    def draft(self, tags: Mapping[str, str]) -> str | None:
        """Give the version that a killed attempt of the same run left for the same model."""
        same = (RUN, "weights_hash")
        for version in self.versions():
            if all(version.tags.get(name) == tags[name] for name in same):
                return str(version.version)
        return None

    def log_model(
        self, identity: str, graph: bytes, example: Mapping[str, Any], prediction: Any
    ) -> str:
        """Write an ONNX graph to a run as a model; give the model's id.

        Args:
            identity: The MLflow run that it belongs to.
            graph: The ONNX graph.
            example: Its inputs by name, a few rows.
            prediction: What it answers to the example.
        """
        import mlflow
        import onnx
        from mlflow.models import Model, infer_signature

        mlflow.set_tracking_uri(self._url)
        with tracking.reaching(self._url):
            # Inside of `start_run`, who wakes up late would open and close the run anew.
            made = self.client.create_logged_model(self.experiment, "onnx", source_run_id=identity)
            Model.log(
                None,
                mlflow.onnx,
                onnx_model=onnx.load_from_string(graph),
                run_id=identity,
                model_id=made.model_id,
                signature=infer_signature(dict(example), {"prediction": prediction}),
                input_example=dict(example),
                pip_requirements=[f"onnxruntime=={_version('onnxruntime')}"],
            )
        return str(made.model_id)

    def add(self, identity: str, model: str, tags: Mapping[str, str]) -> str:
        """Make a version of a model with its tags, which does not count yet; give its number."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(self.pipeline)
        except MlflowException as fault:
            if fault.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"models:/{model}"
        made = self.client.create_model_version(
            self.pipeline, source, identity, tags=dict(tags), model_id=model
        )
        return str(made.version)

    def publish(self, version: str, tags: Mapping[str, str], lease: Lease) -> None:
        """Let a version count; the same again changes nothing.

        Who is stopped just before the last tag finds that its successor went on with this very
        version, or removed it.

        Raises:
            LeaseLostError: Another attempt has the lease.
        """
        known = self.client.get_model_version(self.pipeline, version).tags
        for name, value in {**tags, COMPLETE: "true"}.items():
            if known.get(name) != value:
                lease.check()
                self.client.set_model_version_tag(self.pipeline, version, name, value)
        lease.check()

    @contextmanager
    def under(self, lease: Lease, tags: Mapping[str, str]) -> Iterator[None]:
        """Register within a block: whoever lost the lease is told so, and nothing of theirs stays.

        Raises:
            LeaseLostError: MLflow refused because the successor had tidied up.
        """
        from mlflow.exceptions import MlflowException

        try:
            yield
        except (MlflowException, BackendError):
            # A server's fault that it is asked again for looks like one that does not answer.
            lease.check()
            raise
        finally:
            self._tidy(tags)

    def _tidy(self, tags: Mapping[str, str]) -> None:
        """Remove what other attempts of a run left beside its version, once that one counts."""
        own = [version for version in self.versions() if version.tags.get(RUN) == tags[RUN]]
        whole = [version for version in own if COMPLETE in version.tags]
        if not any(v.tags["weights_hash"] == tags["weights_hash"] for v in whole):
            return
        kept = {version.source for version in whole}
        for version in own:
            if COMPLETE not in version.tags:
                self.client.delete_model_version(self.pipeline, version.version)
        of_run = f"source_run_id = '{self.run(tags[RUN], 'register')}'"
        for model in self.client.search_logged_models([self.experiment], of_run):
            if f"models:/{model.model_id}" not in kept:
                self.client.delete_logged_model(model.model_id)

    def aliased(self) -> str | None:
        """Give the version that MLflow's alias names; `None` where there is no alias."""
        found = self.client.search_registered_models(f"name = '{self.pipeline}'")
        return next((str(model.aliases[ALIAS]) for model in found if ALIAS in model.aliases), None)

    def follow(self, champions: Champions) -> Head | None:
        """Let MLflow's alias follow the head in control; give the head.

        MLflow keeps the last writer's word, so the head is read again after each write: whoever
        writes last has then written what control says.
        """
        written, head = None, champions.champion(self.pipeline)
        while head is not None and head != written:
            self.client.set_registered_model_alias(self.pipeline, ALIAS, head.version)
            written, head = head, champions.champion(self.pipeline)
        return head


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(1000 * moment.timestamp())


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def _chunks(entries: Sequence[Any], size: int = BATCH) -> Iterator[Sequence[Any]]:
    for start in range(0, len(entries), size):
        yield entries[start : start + size]
