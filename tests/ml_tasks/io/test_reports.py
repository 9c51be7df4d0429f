"""Alerts of other systems: each once, open until it is resolved, a reason once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from ml_tasks.io.control import Control, Report
from ml_tasks.io.database import now
from ml_tasks.io.reports import CLOSED, OPEN

WEEK = "2013-01-01/2013-01-08"
REPORT = Report(
    pipeline="p",
    fingerprint="a1b2",
    starts_at="2013-01-05T10:00:00.000+00:00",
    source="alertmanager",
    status=OPEN,
    labels={"alertname": "FeedChanged", "pipeline": "p"},
    annotations={"summary": "schema 7"},
    link="http://prometheus/graph",
    received=now(),
)
LATER = replace(REPORT, starts_at="2013-01-06T10:00:00.000+00:00")


@pytest.fixture
def control(database_url: str) -> Control:
    control = Control(database_url)
    control.migrate()
    return control


def ask(control: Control, *reports: Report, cause: str = "outside", window: str = WEEK) -> str:
    evidence = {"why": "", "reports": [one.shown for one in reports]}
    return control.ask("p", cause, window, who="r", evidence=evidence)[0].id


def test_the_same_again_is_one(control: Control) -> None:
    assert control.report([REPORT, LATER]) == (2, 0)
    assert control.report([REPORT]) == (0, 0)
    assert [one.key for one in control.reports("p")] == [REPORT.key, LATER.key]
    assert control.unheeded("q") == []


def test_what_is_resolved_is_closed_and_stays_so(control: Control) -> None:
    resolved = replace(REPORT, status=CLOSED, closed=now())
    control.report([REPORT])
    assert control.report([resolved]) == (0, 1)
    assert control.report([REPORT, resolved]) == (0, 0)
    assert control.unheeded("p") == []
    assert control.reports("p")[0].closed is not None


def test_resolved_before_it_was_seen_it_opens_no_more(control: Control) -> None:
    """Alertmanager's deliveries may overtake each other."""
    assert control.report([replace(REPORT, status=CLOSED, closed=now())]) == (1, 0)
    control.report([REPORT])
    assert control.unheeded("p") == []


def test_a_report_is_a_reason_once_whoever_asks(control: Control) -> None:
    control.report([REPORT, LATER])
    first = ask(control, REPORT)
    assert [one.key for one in control.unheeded("p")] == [LATER.key]
    assert ask(control, REPORT, cause="monitor", window="2013-01-01/2013-01-15") == first
    assert ask(control, LATER, cause="monitor", window="2013-01-01/2013-01-15") != first
    assert control.unheeded("p") == []
    assert control.replay(first, who="me", why="again").id != first


def test_many_at_once_ask_once(control: Control) -> None:
    """Of two doors and many windows; the ledger says which was first."""
    control.report([REPORT])
    doors = [(c, f"2013-01-01/2013-01-{d:02}") for c in ("outside", "monitor") for d in (8, 9, 10)]
    with ThreadPoolExecutor(6) as pool:
        asked = pool.map(lambda door: ask(control, REPORT, cause=door[0], window=door[1]), doors)
    assert len(set(asked)) == len(control.triggers("p")) == 1
