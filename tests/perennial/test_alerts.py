"""`perennial alerts`: what was sent, and samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import yaml

from ml_tasks.config import ROOT, Environment
from ml_tasks.io.control import Control
from perennial.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

NAME = "flight_delays"
CHAT = {"kind": "slack", "variable": "TEAM_CHAT"}


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Control:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "pipelines"))
    control = Control(Environment().control)
    control.migrate()
    write(tmp_path, [])
    return control


def write(folder: Path, alerts: list[dict[str, object]]) -> None:
    product = yaml.safe_load((ROOT / "ml_tasks" / "pipelines" / f"{NAME}.yaml").read_text())
    (folder / "pipelines").mkdir(exist_ok=True)
    (folder / "pipelines" / f"{NAME}.yaml").write_text(yaml.safe_dump(product | {"alerts": alerts}))


def test_what_was_sent_and_what_waits_is_listed(
    control: Control, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["alerts"]) == 0
    assert "nobody was told of anything" in capsys.readouterr().out
    for key in ("first", "second"):
        control.post(NAME, "alarm", key, ["slack variable TEAM_CHAT"], {"subject": f"the {key}"})
    for fault in (None, "came 404"):
        taken = control.take(NAME)
        assert taken is not None
        if fault:
            control.put_back(taken, fault)
        else:
            control.sent_off(taken)
    assert main(["alerts", "-p", NAME]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [(r[2], r[3], r[4], r[5], r[7]) for r in rows] == [
        ("alarm", "slack variable TEAM_CHAT", "the first", "sent", ""),
        ("alarm", "slack variable TEAM_CHAT", "the second", "waiting", "came 404"),
    ]
    assert main(["alerts", "--waiting"]) == 0
    assert "the first" not in capsys.readouterr().out
    assert main(["alerts", "-p", "other"]) == 78
    assert f"wanted one of ['{NAME}']" in capsys.readouterr().err


def test_samples_wait_while_airflow_is_away(
    control: Control, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["alerts", "test"]) == 78
    assert "alerts: came none, wanted a channel" in capsys.readouterr().err
    write(tmp_path, [CHAT, {"kind": "webhook", "url": "http://127.0.0.1:9/", "on": ["failed"]}])
    assert main(["alerts", "test"]) == 75
    assert "Airflow does not run here" in capsys.readouterr().err
    assert [one.channel for one in control.sent(NAME)] == [
        "slack variable TEAM_CHAT", "webhook http://127.0.0.1:9/",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        ({"kind": "mail"}, "alerts.0.kind: came 'mail', wanted one of email, slack, webhook"),
        ({"to": ["a@b.example"]}, "alerts.0.kind: came nothing, wanted a value"),
        ({"kind": "webhook"}, "came no address, wanted one of url, variable or connection"),
        (CHAT | {"url": "http://x"}, "came ['url', 'variable'], wanted one of"),
        ({"kind": "webhook", "url": "ftp://x"}, "came 'ftp://x', wanted http://"),
        ({"kind": "webhook", "url": "http://a:b@x/"}, "came a login in it, wanted the name"),
        ({"kind": "slack", "url": "https://hooks.slack.com/T/x"}, "which is a secret, wanted"),
        ({"kind": "webhook", "url": "https://hooks.slack.com/T/x"}, "which is a secret, wanted"),
        (CHAT | {"on": ["fail"]}, "came 'fail', wanted 'failed', 'rejected'"),
        (CHAT | {"off": 1}, "off: came an unknown key"),
        ({"kind": "email", "to": []}, "email.to: came [], wanted at least 1"),
    ],
)
def test_config_check_names_what_is_wrong(
    control: Control,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    channel: dict[str, object],
    said: str,
) -> None:
    write(tmp_path, [channel])
    assert main(["config", "check", NAME]) == 78
    told = capsys.readouterr()
    assert said in told.out + told.err


def test_the_word_on_of_a_yaml_is_a_word(control: Control, tmp_path: Path) -> None:
    """Its readers take it for true, and so do people who write it without quotes."""
    from ml_tasks import config

    file = ROOT / "ml_tasks" / "pipelines" / f"{NAME}.yaml"
    text = f"{file.read_text()}\nalerts:\n  - {{kind: slack, variable: TEAM_CHAT, on: [failed]}}\n"
    (channel,) = config.parse(text, file).alerts
    assert channel.on == ("failed",)
    with pytest.raises(Exception, match=r"came \['slack variable TEAM_CHAT'\] twice, wanted each"):
        config.parse(f"{text}  - {{kind: slack, variable: TEAM_CHAT}}\n", file)
