"""Makes a version champion if the champion is still the one it was judged against."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ml_tasks.errors import RejectedError
from ml_tasks.gates.passing import verdict_of
from ml_tasks.io.control import Control
from ml_tasks.io.registry import Registry

if TYPE_CHECKING:
    from ml_tasks.config import Pipeline
    from ml_tasks.context import Context
    from ml_tasks.result import Result

log = logging.getLogger(__name__)


def run(_pipeline: Pipeline, context: Context) -> Result:
    """Compare and set the head in control; MLflow's alias follows.

    Raises:
        PromotionLostError: Another version became champion since; names it.
        RejectedError: The verdict did not pass, or is about another model.
    """
    verdict, uri = verdict_of(context)
    if not verdict.passed:
        raise RejectedError("the verdict did not pass: there is nothing to promote")
    registered = context.inputs["register"].values
    if registered["tags"]["weights_hash"] != verdict.candidate:
        raise RejectedError(
            f"version {registered['version']} is model {registered['tags']['weights_hash'][:12]}, "
            f"the verdict is about {verdict.candidate[:12]}: run register again"
        )
    control = Control(context.environment.control)
    head = control.promote(
        context.pipeline,
        registered["version"],
        expected=verdict.champion,
        run=context.run,
        verdict_uri=uri,
        who=context.who,
        why=f"all {len(verdict.judgements)} gates passed",
    )
    current = Registry(context.environment, context.pipeline).follow(control) or head
    log.info("%s: version %s is champion", context.pipeline, current.version)
    return context.result(
        values={
            "version": head.version,
            "semantic_version": registered["semantic_version"],
            "before": verdict.champion,
        },
    )
