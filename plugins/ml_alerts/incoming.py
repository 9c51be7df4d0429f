"""Takes what Prometheus' Alertmanager, or who speaks as it does, reports of products."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from ml_pages import access
from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from ml_alerts.wiring import listens
from ml_tasks import config
from ml_tasks.config import Environment
from ml_tasks.config.wording import beyond
from ml_tasks.errors import PerennialError
from ml_tasks.io.control import Control, Report
from ml_tasks.io.database import now
from ml_tasks.io.reports import CLOSED, OPEN

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ml_tasks.config import Pipeline

router = APIRouter()
MOST_BYTES = 2**20
MOST_ALERTS = 1000
MOST_FAULTS = 20
"""So many are told; of the others how many there are."""
LABEL = "pipeline"
"""The label that names the product."""
Text = Annotated[str, Field(max_length=10_000, pattern=r"^[^\x00]*$")]
"""Postgres keeps no text with a zero in it."""


class Alert(BaseModel):
    """One alert, in Alertmanager's words; what else it says is left out."""

    status: Literal["firing", "resolved"]
    labels: dict[Text, Text]
    annotations: dict[Text, Text] = {}
    starts_at: AwareDatetime = Field(alias="startsAt")
    fingerprint: str = Field(pattern=r"^[\w.:-]{1,64}$")
    link: Text = Field(alias="generatorURL", default="")


class Group(BaseModel):
    """What one POST carries: Alertmanager's webhook, version 4."""

    version: Literal["4"]
    alerts: tuple[Alert, ...] = Field(max_length=MOST_ALERTS)


@router.post("/alerts")
async def take_alerts(request: Request, user: GetUserDep) -> JSONResponse:
    """Write alerts down; who reports needs the right to start the intake of their products."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/json":
        raise HTTPException(415, f"Content-Type: came {kind!r}, wanted application/json")
    group = parsed(await _body(request))
    return await run_in_threadpool(_kept, group, request, user)


async def _body(request: Request) -> bytes:
    """Read what came, as far as it may be."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise HTTPException(
                413,
                f"came more than {MOST_BYTES} bytes, wanted fewer: set max_alerts in Alertmanager",
            )
    return bytes(body)


def parsed(body: bytes) -> Group:
    """Read a webhook's body.

    Raises:
        HTTPException: It is none; a line for each of the first faults.
    """
    try:
        return Group.model_validate_json(body)
    except ValidationError as fault:
        told = config.explain(fault, "webhook", most=MOST_FAULTS)
        raise HTTPException(422, told.splitlines()) from fault


def _kept(group: Group, request: Request, user: Any) -> JSONResponse:
    """Write what names a product; refuse the rest, which a later POST may bring right."""
    pipelines = {one.name: one for one in config.load_good()[0]}
    good: list[Alert] = []
    refused: list[str] = []
    for number, alert in enumerate(group.alerts):
        fault = _fault(alert, pipelines, user)
        if fault is None:
            good.append(alert)
        else:
            refused.append(f"alerts.{number}.{fault}")
    named = sorted({alert.labels[LABEL] for alert in good})
    _permitted(named, request, user)
    try:
        control = Control(Environment().control)
        control.migrate()
        new, closed = control.report([_report(one, user.get_name()) for one in good])
    except PerennialError as fault:
        return JSONResponse({"detail": str(fault)}, 503, headers={"Retry-After": "30"})
    answer: dict[str, Any] = {"kept": len(good), "new": new, "closed": closed}
    if notes := _notes([pipelines[name] for name in named]):
        answer["notes"] = notes
    if refused:
        told = [*refused[:MOST_FAULTS], *beyond(len(refused), MOST_FAULTS)]
        return JSONResponse({"detail": told, **answer}, 422)
    return JSONResponse(answer)


def _fault(alert: Alert, pipelines: Collection[str], user: Any) -> str | None:
    """Say why an alert cannot be kept; `None` where it can."""
    if alert.labels.get(LABEL) not in pipelines:
        came = repr(alert.labels.get(LABEL, "nothing"))[:100]
        seen = sorted(access.readable(pipelines, user))
        return f"labels.{LABEL}: came {came}, wanted a product, of which you may see {seen}"
    try:
        alert.starts_at.astimezone(UTC)
    except OverflowError:
        came = alert.starts_at.isoformat()
        return f"startsAt: came {came!r}, wanted a moment of the years 1 to 9999 in UTC"
    return None


def _permitted(pipelines: Sequence[str], request: Request, user: Any) -> None:
    """Ask Airflow whether somebody may start the intakes of products.

    Raises:
        HTTPException: Not all of them; nothing is written then.
    """
    for name in pipelines:
        dag = f"{name}__intake"
        try:
            requires_access_dag("POST", DagAccessEntity.RUN, dag)(request, user)
        except HTTPException as refusal:
            raise HTTPException(
                refusal.status_code,
                f"{user.get_name()}: came no right to start {dag}, wanted it: what is reported of "
                f"{name} may start a training",
            ) from refusal


def _report(alert: Alert, source: str) -> Report:
    resolved = alert.status == "resolved"
    return Report(
        pipeline=alert.labels[LABEL],
        fingerprint=alert.fingerprint,
        starts_at=alert.starts_at.astimezone(UTC).isoformat(timespec="milliseconds"),
        source=source[:128],
        status=CLOSED if resolved else OPEN,
        labels=alert.labels,
        annotations=alert.annotations,
        link=alert.link,
        received=now(),
        closed=datetime.now(UTC).isoformat(timespec="seconds") if resolved else None,
    )


def _notes(pipelines: Sequence[Pipeline]) -> list[str]:
    return [
        f"{one.name} has no policy 'outside': it is written down and starts nothing"
        for one in pipelines
        if not listens(one)
    ]
