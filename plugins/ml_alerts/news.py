"""What there is to tell of a run: read from control and from its tasks' results."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import conf
from ml_launch import capsule
from ml_launch.command import slug

from ml_alerts.message import Message
from ml_tasks.config import Environment
from ml_tasks.errors import PerennialError
from ml_tasks.io import objects
from ml_tasks.io.audit import ROLLBACK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ml_launch.capsule import Capsule

    from ml_tasks.io.control import AuditEntry, Control, Trigger
    from ml_tasks.io.watched import Alarm
    from ml_tasks.result import Result

SHOWN = 5
KILLED = "its process ended without a word: killed, out of memory, or the machine was lost"


class News:
    """What there is to tell of one run of a pipeline's DAG."""

    def __init__(self, pipeline: str, dag: str, run: str) -> None:
        """Remember which run, by Airflow's names."""
        self.pipeline, self.dag, self.run = pipeline, dag, run
        self.environment = Environment()

    def failed(self, task: str, attempt: int, fault: str) -> Message:
        """Tell of a task that failed for good: why, and how to enter it again."""
        uri = capsule.address(self.environment, self.pipeline, slug(self.run), task, attempt)
        kept = _capsule(uri)
        reason = kept.reason if kept else fault or KILLED
        evidence = {"run": self.run, "task": task, "attempt": str(attempt)}
        if kept is not None:
            evidence["exit code"] = str(kept.exit_code)
            evidence["last lines"] = "\n".join(kept.tail[-SHOWN:])
            evidence["to enter it again"] = f"perennial repro {uri}"
        links = self._links(task)
        if task == "validate":
            links["Data Docs"] = self._page("data-docs")
        return self._message(
            "failed",
            f"{self.dag} {self.run} {task} {attempt}",
            f"{self.dag.partition('__')[2]} failed in {task}",
            reason,
            evidence,
            links,
            runbook="a-task-failed",
        )

    def rejected(self, judged: Result) -> Iterator[Message]:
        """Tell of a candidate that the gates did not let pass."""
        if judged.values["passed"]:
            return
        fell = [one for one in judged.values["gates"] if not one["passed"]]
        yield self._message(
            "rejected",
            self.run,
            "a candidate was rejected",
            f"{len(fell)} gates did not pass: {', '.join(one['gate'] for one in fell)}",
            {f"{n} {one['gate']}": one["evidence"] for n, one in enumerate(fell, start=1)},
            self._links("judge"),
            runbook="the-gates-do-not-pass",
        )

    def promoted(self, done: Result) -> Iterator[Message]:
        """Tell of a version that became champion."""
        before = done.values["before"]
        yield self._message(
            "promoted",
            f"{self.run} {done.values['version']}",
            f"version {done.values['semantic_version']} is champion",
            "all gates passed",
            {
                "version": str(done.values["version"]),
                "champion before": "none" if before is None else str(before),
            },
            self._links("promote"),
            runbook="a-champion-has-to-go",
        )

    def alarms(self, found: list[Alarm]) -> Iterator[Message]:
        """Tell of days that went beyond the budget of false pages, together."""
        paged = [alarm for alarm in found if alarm.paged]
        if not paged:
            return
        losses = [alarm.loss for alarm in paged if alarm.loss is not None]
        moved = list(dict.fromkeys(str(s["name"]) for alarm in paged for s in alarm.signals))
        days = sorted({alarm.day for alarm in paged})
        yield self._message(
            "alarm",
            json.dumps([[a.version, a.day, a.of] for a in paged]),
            f"{', '.join(moved[:SHOWN])} moved",
            f"beyond the budget of false pages on {', '.join(days)}",
            {
                "estimated loss": f"{max(losses):.4f} of the metric" if losses else "unknown",
                "signals": ", ".join(moved),
                "version": ", ".join(sorted({alarm.version for alarm in paged})),
            },
            self._links("monitor"),
            runbook="an-alarm-pages",
        )

    def asked(self, trigger: Trigger) -> Message:
        """Tell of a training that was asked for."""
        evidence = {
            name: _plain(value)
            for name, value in trigger.evidence.items()
            if value and name not in ("why", "wishes")
        }
        return self._message(
            "trigger",
            trigger.id,
            f"{trigger.cause} asks for a training",
            str(trigger.evidence.get("why") or f"{trigger.who} asked"),
            {"trigger": trigger.id, "window": trigger.window, **evidence},
            self._links(""),
            runbook="who-asked-for-this-training-and-once-more",
        )

    def rolled_back(self, entry: AuditEntry) -> Message:
        """Tell of a champion that gave way to an earlier version."""
        return self._message(
            "rolled_back",
            f"audit {entry.number}",
            f"rolled back to version {entry.detail['version']}",
            entry.why,
            {"who": entry.who, "at": entry.at, **{k: _plain(v) for k, v in entry.detail.items()}},
            self._links(""),
            runbook="a-champion-has-to-go",
        )

    def not_held(self, decided: Result) -> Iterator[Message]:
        """Tell of a champion that could not be held against the one before it."""
        fault = decided.values.get("rollback_fault")
        if fault is None:
            return
        yield self._message(
            "rolled_back",
            f"{self.run} {fault}",
            "the champion was not held against the one before",
            fault,
            {"run": self.run, "until it is mended": "a champion that is worse stays"},
            self._links("decide"),
            runbook="a-champion-has-to-go",
        )

    def all(self, control: Control, results: Mapping[str, Result]) -> list[Message]:
        """Give everything that this run is to tell of, but its failed tasks.

        Args:
            control: What the run left in it.
            results: Of its tasks, by name.
        """
        told: list[Message] = []
        if (judged := results.get("judge")) is not None:
            told += self.rejected(judged)
        if (done := results.get("promote")) is not None:
            told += self.promoted(done)
        if (decided := results.get("decide")) is not None:
            told += self.not_held(decided)
        own = {self.run, slug(self.run)}
        told += self.alarms([a for a in control.alarms(self.pipeline) if a.run in own])
        told += [self.asked(t) for t in control.triggers(self.pipeline) if t.who in own]
        told += [
            self.rolled_back(entry)
            for entry in control.audit(self.pipeline)
            if entry.action == ROLLBACK and entry.who.partition("/")[0] in own
        ]
        return told

    def _message(
        self,
        kind: str,
        key: str,
        subject: str,
        cause: str,
        evidence: dict[str, str],
        links: dict[str, str],
        *,
        runbook: str,
    ) -> Message:
        return Message(
            kind=kind,
            key=key,
            pipeline=self.pipeline,
            subject=subject,
            cause=cause,
            evidence=evidence,
            links=links,
            runbook=f"{self.environment.runbook}#{runbook}",
        )

    def _links(self, task: str) -> dict[str, str]:
        run = f"{_airflow()}/dags/{self.dag}/runs/{quote(self.run, safe='')}"
        return {
            "Airflow": f"{run}/tasks/{task}" if task else run,
            "MLflow": f"{self._page('mlflow')}&task={task}",
        }

    def _page(self, name: str) -> str:
        return f"{_airflow()}/perennial/{name}?pipeline={self.pipeline}&run={slug(self.run)}"


def _airflow() -> str:
    return str(conf.get("api", "base_url", fallback="") or "").rstrip("/")


def _capsule(uri: str) -> Capsule | None:
    """Give a failed attempt's capsule; it may have died before anybody could write one."""
    try:
        return capsule.read(uri)
    except (FileNotFoundError, PerennialError):
        return None


def results(pulled: Mapping[str, Any]) -> dict[str, Result]:
    """Read the results that tasks left, of those that did not fail."""
    found = {}
    for task, uri in pulled.items():
        if isinstance(uri, str):
            result = objects.read_result(uri)
            if result.error is None:
                found[task] = result
    return found


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
