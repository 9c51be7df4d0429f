from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ml_tasks.errors import ConfigError, ExitCode
from ml_tasks.monitoring.budget import Budget
from perennial import (
    alarm_days,
    alarm_practice,
    alarm_proof,
    alarm_report,
    alarm_trials,
    measured_page,
)
from perennial.__main__ import main
from perennial.alarm_days import Flights, Shift
from perennial.alarm_trials import Trials, WatchedModel

if TYPE_CHECKING:
    from pathlib import Path

ROWS, REFERENCE = 30_000, 35


@pytest.fixture(scope="module")
def flights() -> Flights:
    return alarm_days.load(seed=3, rows=ROWS)


def test_the_model_has_not_seen_the_days_and_knows_something(flights: Flights) -> None:
    rows = flights.rows
    assert flights.number == 243
    assert rows.height == ROWS
    assert rows["day"].is_sorted()
    assert 0.7 < flights.auc < 0.8
    assert abs(rows["label"].mean() - rows["prediction"].mean()) < 0.03


def test_a_shift_costs_what_it_was_planted_for(flights: Flights) -> None:
    rng = np.random.default_rng(1)
    shift = Shift("missing", "hour")
    found = list(alarm_trials.planted(flights, shift, rng, (0.005, 0.01, 0.9)))
    assert [cost for _share, cost, _rows in found] == pytest.approx([0.005, 0.01], rel=0.1)
    share, _cost, rows = found[1]
    assert rows["hour"].null_count() / ROWS == pytest.approx(share, rel=0.1)
    others = [name for name in rows.columns if name not in ("hour", "prediction")]
    assert rows.select(others).equals(flights.rows.select(others))


def test_each_shift_changes_its_column_alone(flights: Flights) -> None:
    rng = np.random.default_rng(2)
    before = flights.rows
    for shift in (*alarm_days.HARMFUL[::4], *alarm_days.HARMLESS, Shift("missing", "carrier")):
        after = flights.shifted(shift, rng)
        changed = {name for name in before.columns if not after[name].equals(before[name])}
        assert {shift.column or "label"} <= changed <= {shift.column or "label", "prediction"}
    random = flights.shifted(Shift("random labels"), rng)
    assert abs(random["label"].mean() - before["label"].mean()) < 0.02


def test_days_are_looked_at_as_monitor_does(flights: Flights) -> None:
    days = np.arange(REFERENCE + 7)
    watched = WatchedModel(flights, days[:REFERENCE], Budget(), seed=1)
    own = watched._days.reference
    assert {len(of) for of in own.about.own.values()} == {REFERENCE}
    names = {f"profile {name}" for name in (*alarm_days.INPUTS, "prediction")}
    assert names | {"outliers", "realised log_loss", "chi_square carrier"} < set(own.about.own)
    looks = watched._looks(40)
    rows = alarm_trials.Source(flights.rows).day(40, REFERENCE)
    said = own.inputs(rows) | own.truth(rows)
    assert {look.signal: look.value for look in looks} == {n: f.value for n, f in said.items()}
    assert watched.history(days[REFERENCE:].tolist()) == watched.history(range(REFERENCE, 42))


def test_what_costs_is_paged_and_what_does_not_is_listed(flights: Flights) -> None:
    rng = np.random.default_rng(5)
    order = alarm_trials.in_streaks(flights.number, 1)
    trials = Trials.drawn(flights, REFERENCE, Budget(), rng, order, trials=4, each=4)
    [hour] = trials.tried(Shift("missing", "hour"), rng, (0.02,))
    assert hour.power == 1
    assert max(hour.delays) <= alarm_trials.WITHIN
    assert hour.signal.endswith(("hour", "hour missing"))
    [minutes] = trials.tried(Shift("missing", "planned_minutes"), rng, None)
    assert minutes.listed > minutes.paged


def test_the_days_of_a_reference_are_not_those_that_are_looked_at() -> None:
    for streak in (1, 7):
        order = alarm_trials.in_streaks(243, streak)
        drawn = order(np.random.default_rng(6), 60, 365)
        assert len(drawn) == 425
        assert len(set(drawn[:60])) == 60
        assert not set(drawn[:60]) & set(drawn[60:])
        steps = np.diff(drawn[60 : 60 + 364].reshape(-1, streak), axis=1)
        assert (steps == 1).all()


def test_common_practice_alarms_on_real_days_and_not_on_rows_that_know_no_day(
    flights: Flights,
) -> None:
    order = np.random.default_rng(7).permutation(ROWS).tolist()
    dealt = flights.rows[order].with_columns(flights.rows["day"])
    cut = alarm_practice.Cut(flights.rows)
    shares: dict[str, list[float]] = {name: [] for name in alarm_practice.RULES}
    for rows in (flights.rows, dealt):
        days = cut.days(rows)
        assert (days.sum(axis=2) == rows.group_by("day").len().sort("day")["len"].to_numpy()[
            :, None]).all()  # fmt: skip
        for name, rule in alarm_practice.RULES.items():
            shares[name].append(float(rule(days[:60], days[60:]).mean()))
    assert shares["KS, p < 0.05 in a column"][0] == 1
    assert shares["KS, p < 0.05 / columns"][1] < 0.1
    real, none = shares["half of columns >= 0.1 off"]
    assert real == 1 > 2 * none
    assert shares["JS > mean + 3 sd in a column"][0] > 0.05


def test_the_interval_covers_what_was_counted() -> None:
    none = alarm_report.Quiet("x", (0, 0, 0, 0))
    assert none.interval[0] == 0 < none.interval[1] < 0.3
    some = alarm_report.Quiet("x", (1, 0, 2, 1))
    assert some.interval[0] < some.quarterly < some.interval[1]
    assert some.quarterly == pytest.approx(91 / 365)


@pytest.mark.parametrize(("paged", "blind"), [(0, True), (70, True), (76, False), (84, False)])
def test_a_watch_that_sees_too_little_is_no_proof(paged: int, blind: bool) -> None:
    found = alarm_trials.Found("noisy hour", 1.0, 0.01, 100, paged, 0, (), "ks hour")
    cheap = replace(found, cost=0.005, paged=0)
    proof = alarm_report.Proof(
        seed=1, reference=60, days=243, rows=1, auc=0.7, allowed=1.0, quiet=(),
        harmful=(found, cheap, replace(found, shift="more labels", paged=0)), in_weeks=(),
        harmless=(),
    )  # fmt: skip
    assert proof.blind is blind


def test_the_command_shows_draws_and_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    flights: Flights,
) -> None:  # fmt: skip
    page = tmp_path / "alarms.md"
    page.write_text(f"before\n{alarm_report.BEGIN}\nold\n{measured_page.END}\nafter\n")
    monkeypatch.setattr("perennial.alarms.PAGE", page)
    monkeypatch.setattr(alarm_days, "load", lambda _seed, _rows: flights)
    monkeypatch.setattr(alarm_proof, "QUICK_TRIALS", 3)
    monkeypatch.setattr(alarm_proof, "EACH", 3)
    monkeypatch.setattr(alarm_trials, "YEAR", 20)
    monkeypatch.setattr(alarm_days, "HARMFUL", alarm_days.HARMFUL[:1])
    monkeypatch.setattr(alarm_days, "HARMLESS", alarm_days.HARMLESS[:1])
    picture = tmp_path / "made.png"
    assert main(["alarms", "prove", "--quick", "--years", "2", "--reference", "35", "--write",
                 "--picture", str(picture)]) == ExitCode.OK  # fmt: skip
    shown = capsys.readouterr().out
    assert "this budget" in shown
    assert "missing hour" in shown
    written = page.read_text()
    assert written.startswith("before\n")
    assert written.endswith("after\n")
    assert "old" not in written
    assert "| missing hour |" in written
    assert "| 0.01 (features, days in weeks) | 1 |" in written
    assert "this budget, days in weeks" in written
    for file in (picture, tmp_path / alarm_report.PICTURE):
        assert file.read_bytes().startswith(b"\x89PNG")


def test_a_budget_that_does_not_hold_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = alarm_trials.Found("missing hour", 0.1, 0.01, 1, 1, 0, (3,), "missing hour")
    often = alarm_report.Quiet(alarm_report.OURS, (9, 8, 9))
    proof = alarm_report.Proof(3, 40, 243, ROWS, 0.75, 1.0, (often,), (found,), (), ())
    monkeypatch.setattr(alarm_proof, "measure", lambda **_told: proof)
    assert main(["alarms", "prove"]) == ExitCode.REJECTED
    assert "more than 1 false pages a quarter" in capsys.readouterr().err


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "alarms.md"
    page.write_text("nothing to fill\n")
    quiet = alarm_report.Quiet(alarm_report.OURS, (0, 1))
    proof = alarm_report.Proof(3, 40, 243, ROWS, 0.75, 1.0, (quiet,), (), (), ())
    with pytest.raises(ConfigError, match="without the marks"):
        alarm_report.write(proof, page)
    assert page.read_text() == "nothing to fill\n"
