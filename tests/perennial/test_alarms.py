from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ml_tasks.errors import ConfigError, ExitCode
from ml_tasks.monitoring import profile
from ml_tasks.monitoring.budget import Budget
from perennial import (
    alarm_days,
    alarm_looks,
    alarm_practice,
    alarm_proof,
    alarm_report,
    alarm_trials,
)
from perennial.__main__ import main
from perennial.alarm_days import Rows, Shift

if TYPE_CHECKING:
    from pathlib import Path

    from perennial.alarm_trials import Ground

ROWS = 30_000


@pytest.fixture(scope="module")
def ground() -> Ground:
    return alarm_trials.prepare(seed=3, reference=40, budget=Budget(), rows=ROWS)


def test_the_model_has_not_seen_the_days_and_knows_something(ground: Ground) -> None:
    rows = ground.flights.rows
    assert ground.number == 243
    assert len(rows.labels) == ROWS
    assert 0.7 < ground.flights.auc < 0.8
    assert ground.flights.worth["hour"] > 0.01 > ground.flights.worth["planned_minutes"]
    mean = np.array([rows.labels.mean(), rows.predictions.mean()])
    assert abs(mean[0] - mean[1]) < 0.03


def test_a_shift_costs_what_it_was_planted_for(ground: Ground) -> None:
    rng = np.random.default_rng(1)
    shift = Shift("missing", "hour")
    found = list(alarm_trials.planted(ground, shift, rng, (0.005, 0.01, 0.9)))
    assert [cost for _share, cost, _days in found] == pytest.approx([0.005, 0.01], rel=0.1)
    share, _cost, days = found[1]
    place = ground.scales.names.index("hour")
    missing = days.parts[:, place, -1].sum() / days.rows.sum()
    assert missing == pytest.approx(share, rel=0.1)
    others = np.delete(days.parts, [place, len(ground.scales.names) - 1], axis=1)
    assert (others == np.delete(ground.days.parts, [place, len(ground.scales.names) - 1], 1)).all()


def test_each_shift_changes_its_column_alone(ground: Ground) -> None:
    rng = np.random.default_rng(2)
    before = ground.flights.rows
    for shift in (*alarm_days.HARMFUL[::4], *alarm_days.HARMLESS):
        after = ground.flights.shifted(shift, rng)
        changed = {n for n, c in after.columns.items() if c is not before.columns[n]}
        assert changed == {shift.column}
    labels = ground.flights.shifted(Shift("random labels"), rng)
    assert labels.predictions is before.predictions
    assert abs(labels.labels.mean() - before.labels.mean()) < 0.02


def test_distances_are_those_of_kolmogorov_and_smirnov(ground: Ground) -> None:
    from scipy.stats import ks_2samp

    rows, place = ground.flights.rows, ground.scales.names.index("temp")
    codes = profile.coded(rows.columns["temp"], ground.scales.knots[place])
    there = codes <= profile.KNOTS
    day = rows.days == 17
    wanted = ks_2samp(codes[there & day], codes[there & ~day], method="asymp")
    others = ground.days.parts.sum(axis=0) - ground.days.parts[17]
    assert alarm_looks.distances(ground.days.parts[17:18], others)[0, place] == pytest.approx(
        wanted.statistic
    )


def test_a_day_is_looked_at_as_profiles_do(ground: Ground) -> None:
    drawn = ground.days.of(np.arange(40))
    own, new = alarm_looks.statistics(ground.scales.names, drawn, ground.days.of(np.array([99])))
    rows = ground.flights.rows
    scales = replace(
        ground.scales,
        mean=(drawn.shares.mean(0), drawn.ties.mean(0)),
        variance=(drawn.shares.var(0, ddof=1), drawn.ties.var(0, ddof=1)),
    )
    columns = {**rows.columns, alarm_looks.PREDICTION: rows.predictions}
    found = scales.test({n: c[rows.days == 99] for n, c in columns.items()})
    assert {n: (new[f"values {n}"][0], new[f"ties {n}"][0]) for n in found} == {
        n: pytest.approx(both) for n, both in found.items()
    }
    assert set(own) == set(new) == set(alarm_looks.potential(ground.scales.names, ground.flights))
    assert all(len(values) == 40 for values in own.values())


def test_years_without_drift_keep_to_the_budget(ground: Ground) -> None:
    rng = np.random.default_rng(4)
    years = alarm_trials.quiet(ground, 4, rng, alarm_trials.any_order(ground.number))
    assert [len(year) for year in years] == [365] * 4
    assert sum(map(sum, years)) <= 16


def test_what_costs_is_paged_and_what_does_not_is_listed(ground: Ground) -> None:
    rng = np.random.default_rng(5)
    [hour] = alarm_trials.tried(ground, Shift("missing", "hour"), 10, rng, (0.01,))
    assert hour.power == 1
    assert max(hour.delays) <= alarm_trials.WITHIN
    assert hour.signal.endswith("hour")
    [minutes] = alarm_trials.tried(ground, Shift("missing", "planned_minutes"), 10, rng, None)
    assert minutes.paged <= 2
    assert minutes.listed >= 8


def test_streaks_follow_each_other() -> None:
    drawn = alarm_trials.in_streaks(243, 7)(np.random.default_rng(6), 30)
    assert len(drawn) == 30
    steps = np.diff(drawn.reshape(-1)[:28].reshape(4, 7), axis=1) % 243
    assert (steps == 1).all()


def test_common_practice_alarms_on_real_days_and_not_on_rows_that_know_no_day(
    ground: Ground,
) -> None:
    rng = np.random.default_rng(7)
    rows = ground.flights.rows
    order = rng.permutation(len(rows.labels))
    dealt = Rows(
        {n: c[order] for n, c in rows.columns.items()},
        rows.labels[order], rows.predictions[order], rows.days,
    )  # fmt: skip
    no_days = alarm_looks.describe(dealt, ground.scales)
    first, rest = np.arange(60), np.arange(60, 243)
    shares = {
        name: [float(rule(of.of(first), of.of(rest)).mean()) for of in (ground.days, no_days)]
        for name, rule in alarm_practice.RULES.items()
    }
    assert shares["KS, p < 0.05 in a column"][0] == 1
    assert shares["KS, p < 0.05 / columns"][1] < 0.1
    assert (
        shares["half of columns >= 0.1 off"][0] == 1 > 2 * shares["half of columns >= 0.1 off"][1]
    )
    assert shares["JS > mean + 3 sd in a column"][0] > 0.05


def test_the_interval_covers_what_was_counted() -> None:
    none = alarm_report.Quiet("x", (0, 0, 0, 0))
    assert none.interval[0] == 0 < none.interval[1] < 0.3
    some = alarm_report.Quiet("x", (1, 0, 2, 1))
    assert some.interval[0] < some.quarterly < some.interval[1]
    assert some.quarterly == pytest.approx(91 / 365)


def test_the_command_shows_draws_and_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    ground: Ground,
) -> None:  # fmt: skip
    page = tmp_path / "alarms.md"
    page.write_text(f"before\n{alarm_report.BEGIN}\nold\n{alarm_report.END}\nafter\n")
    monkeypatch.setattr("perennial.alarms.PAGE", page)
    monkeypatch.setattr(alarm_days, "load", lambda _seed, _rows: ground.flights)
    monkeypatch.setattr(alarm_proof, "QUICK_TRIALS", 3)
    monkeypatch.setattr(alarm_days, "HARMFUL", alarm_days.HARMFUL[:1])
    monkeypatch.setattr(alarm_days, "HARMLESS", alarm_days.HARMLESS[:1])
    picture = tmp_path / "made.png"
    assert main(["alarms", "prove", "--quick", "--years", "2", "--write",
                 "--picture", str(picture)]) == ExitCode.OK  # fmt: skip
    shown = capsys.readouterr().out
    assert "this budget" in shown
    assert "missing hour" in shown
    written = page.read_text()
    assert written.startswith("before\n")
    assert written.endswith("after\n")
    assert "old" not in written
    assert "| missing hour |" in written
    for file in (picture, tmp_path / alarm_report.PICTURE):
        assert file.read_bytes().startswith(b"\x89PNG")


def test_a_budget_that_does_not_hold_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, ground: Ground
) -> None:
    found = alarm_trials.Found("missing hour", 0.1, 0.01, 1, 1, 0, (3,), "missing hour")
    often = alarm_report.Quiet(alarm_report.OURS, (9, 8, 9))
    proof = alarm_report.Proof(3, 40, 243, ROWS, 0.75, 1.0, (often,), (found,), ())
    monkeypatch.setattr(alarm_proof, "measure", lambda **_told: proof)
    assert main(["alarms", "prove"]) == ExitCode.REJECTED
    assert "more than 1 false pages a quarter" in capsys.readouterr().err


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "alarms.md"
    page.write_text("nothing to fill\n")
    quiet = alarm_report.Quiet(alarm_report.OURS, (0, 1))
    proof = alarm_report.Proof(3, 40, 243, ROWS, 0.75, 1.0, (quiet,), (), ())
    with pytest.raises(ConfigError, match="without the marks"):
        alarm_report.write(proof, page)
    assert page.read_text() == "nothing to fill\n"
