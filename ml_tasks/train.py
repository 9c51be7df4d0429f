"""Fits the model under torchrun, one process or many, and resumes from the last checkpoint."""

from __future__ import annotations

import json
import logging
import sys
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from ml_tasks import models
from ml_tasks.errors import BackendError, PerennialError, StuckError
from ml_tasks.io import circumstances, objects, word
from ml_tasks.io.content import bytes_hash
from ml_tasks.io.control import Control
from ml_tasks.result import RESULT, Failure, Output, Resources, Result
from ml_tasks.training.assembled import Assembled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import polars as pl
    import torch

    from ml_tasks.config import Pipeline
    from ml_tasks.context import Context
    from ml_tasks.models.spec import Spec
    from ml_tasks.training.loop import Trainer

log = logging.getLogger(__name__)


def run(pipeline: Pipeline, context: Context) -> Result:
    """Train on the assembled set; the first process writes the model.

    Raises:
        BackendError: SIGTERM came; the next attempt goes on from the checkpoint.
    """
    import torch

    from ml_tasks.training import ddp, usage
    from ml_tasks.training.watchdog import Watchdog

    settings, place = pipeline.training, ddp.place()
    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(mode=True)
    frames, spec, digest = _read(context)
    with (
        ddp.group(place) as device,
        Watchdog(place, settings.watchdog_seconds, partial(_give_up, context)) as watchdog,
        _bar(show=place.rank == 0) as bar,
    ):
        trainer = _trainer(pipeline, context, spec, digest, device)
        own = usage.Usage(usage.gpu(device))

        def on_step(epoch: int, step: int, steps: int) -> None:
            watchdog.beat(f"epoch {epoch}, step {step} of {steps}")
            bar(epoch, step, steps)
            own.on_step(epoch)

        began, resumed = time.monotonic(), trainer.resume()
        _require_together(ddp.gathered(place, (trainer.progress.epoch, trainer.progress.step)))
        _fit(trainer, frames, spec, device, on_step)
        seconds = time.monotonic() - began
        parts = ddp.gathered(place, own.finish())
    if place.rank > 0:
        return _silent(context)
    used = usage.together(parts)
    values = {
        "set_hash": digest,
        "epochs": len(trainer.history),
        "resumed_at_epoch": resumed,
        "fit_seconds": round(seconds, 3),
        "processes": place.world_size,
        "device": str(device),
        **usage.summary(used),
    }
    resources = Resources(
        cpu_seconds=sum(part.cpu_seconds for part in parts[1:]), gpu_seconds=seconds * used.gpus
    )
    result = _result(pipeline, context, trainer, values, used.rows)
    return result.model_copy(update={"resources": resources})


def _require_together(stand: Sequence[tuple[int, int]]) -> None:
    """Make sure that all ranks go on from one checkpoint: each looks for the newest by itself.

    Raises:
        BackendError: One was written or lost between two looks.
    """
    if len(set(stand)) > 1:
        raise BackendError(
            f"ranks would go on from different checkpoints, at epoch and step {list(stand)}: an "
            "attempt before writes there still; the next one begins from one"
        )


def _read(context: Context) -> tuple[dict[str, pl.DataFrame], Spec, str]:
    """Give the parts to learn from and to stop by, the fitted preprocessing, and the set's hash."""
    made = Assembled.of(context)
    frames = {name: made.part(name) for name in ("train", "validation")}
    return frames, made.spec(frames["train"]), made.content_hash


def _trainer(
    pipeline: Pipeline, context: Context, spec: Spec, digest: str, device: torch.device
) -> Trainer:
    import torch

    from ml_tasks.training import ddp
    from ml_tasks.training.checkpoint import Checkpoints
    from ml_tasks.training.loop import Trainer

    settings, place = pipeline.training, ddp.place()
    torch.manual_seed(settings.seed)
    params = models.params_of(settings)
    model = models.module(settings.model).build(params, spec).to(device)
    around = circumstances.here(pipeline)
    fixed = [
        settings.model_dump_json(exclude={"watchdog_seconds"}), digest, str(place.world_size),
        around["code"], around["packages"],
    ]  # fmt: skip
    root = f"{context.environment.run_folder(context.pipeline, context.run)}/train/checkpoints"
    checkpoints = Checkpoints(root, bytes_hash("\n".join(fixed).encode()))
    return Trainer(model, spec, settings, place, checkpoints, average=params.average)


def _fit(
    trainer: Trainer,
    frames: dict[str, pl.DataFrame],
    spec: Spec,
    device: torch.device,
    on_step: Callable[[int, int, int], None],
) -> None:
    from ml_tasks.training.data import part

    train, validation = (part(frames[n], spec, "label", device) for n in ("train", "validation"))
    trainer.fit(train, validation, on_step)


def _result(
    pipeline: Pipeline,
    context: Context,
    trainer: Trainer,
    values: dict[str, Any],
    usage: Sequence[Mapping[str, float]],
) -> Result:
    """Write weights, graph, description, history, usage and curves."""
    from ml_tasks.training import curves, export

    spec, best = trainer.spec, trainer.progress.best_epoch
    digest = export.weights_hash(trainer.best_weights)
    description = {
        "model": pipeline.training.model,
        "params": models.params_of(pipeline.training).model_dump(mode="json"),
        "spec": spec.model_dump(mode="json"),
        "weights_hash": digest,
    }
    written = {
        "model": ("model.pt", export.torch_bytes(trainer.model, description)),
        # Before the graph: who finds one finds what it takes in.
        "description": ("model.json", json.dumps(description, indent=2).encode()),
        "onnx": ("model.onnx", export.onnx_bytes(trainer.model, spec)),
        "history": ("history.json", json.dumps(trainer.history, indent=2).encode()),
        "usage": ("usage.json", json.dumps(usage, indent=2).encode()),
        "curves": ("curves.png", curves.png(trainer.history, spec.task, best)),
    }
    outputs = {}
    for name, (file, data) in written.items():
        uri = f"{context.folder}/{file}"
        objects.write_bytes(uri, data)
        content = digest if name == "model" else bytes_hash(data)
        outputs[name] = Output(uri=uri, content_hash=content)
    metrics = {k: v for k, v in trainer.history[best].items() if k != "epoch"}
    log.info("best epoch %s of %s: %s", best, len(trainer.history), metrics)
    return context.result(
        outputs=outputs,
        values={**values, "best_epoch": best, "weights_hash": digest, "validation": metrics},
    )


def _silent(context: Context) -> Result:
    """Give what the other processes hand back; nobody reads it."""
    return context.result()


def _give_up(context: Context, why: str) -> None:
    """Leave a result that says why there is none: the process ends without one."""
    fault = StuckError(
        f"{why}; the log shows the threads. The next attempt goes on from the last checkpoint; "
        "raise training.watchdog_seconds where steps take so long"
    )
    failure = Failure(kind=type(fault).__name__, message=str(fault), exit_code=int(fault.exit_code))
    result = context.result().model_copy(update={"error": failure})
    uri = context.answer or f"{context.attempt_folder}/{RESULT}"
    own = word.Word(Control(context.environment.control), context.turn) if context.turn else None
    try:
        word.write(uri, result, own)
    except PerennialError as failed:
        log.error("the result cannot be written: %s", failed)


@contextmanager
def _bar(*, show: bool) -> Iterator[Callable[[int, int, int], None]]:
    """Show progress to a person at a terminal, and to nobody else."""
    from tqdm import tqdm

    with tqdm(disable=not (show and sys.stderr.isatty()), unit="step") as bar:

        def update(epoch: int, step: int, steps: int) -> None:
            bar.total = steps
            bar.n = step
            bar.set_description(f"epoch {epoch}", refresh=False)
            bar.refresh()

        yield update
