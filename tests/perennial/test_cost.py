from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from ml_tasks import config
from ml_tasks.config import Environment, TaskResources
from ml_tasks.io.control import Control, Cost
from perennial import right_size
from perennial.__main__ import main
from perennial.right_size import ENOUGH, needs, snippet

ONE = Cost(
    pipeline="flight_delays", run="r0", task="derive", attempt=1, at="2013-01-31T23:59:00Z",
    state="done", pods=1, cpus=1, memory_gb=3, gpus=0, node_type="", spot=False,
    wall_seconds=3600.0, pod_seconds=3600.0, cpu_seconds=1800.0, gpu_seconds=0.0,
    peak_memory_mb=1000.0, amount=1.5, currency="EUR",
)  # fmt: skip


def charge(*made: Cost) -> None:
    control = Control(Environment().control)
    control.migrate()
    control.charge(made)


def runs(peaks: list[float], **more: object) -> list[Cost]:
    return [
        replace(ONE, run=f"r{i}", peak_memory_mb=peak, **more)  # type: ignore[arg-type]
        for i, peak in enumerate(peaks)
    ]


@pytest.mark.usefixtures("home")
class TestCost:
    def test_nothing_was_recorded_yet(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["cost"]) == 0
        assert "no run was recorded" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("by", "names"),
        [
            ("pipeline", ["flight_delays", "q"]),
            ("task", ["flight_delays derive", "flight_delays train", "q derive"]),
            ("month", ["2013-01", "2013-02"]),
        ],
    )
    def test_sums_by_what_is_asked(
        self, capsys: pytest.CaptureFixture[str], by: str, names: list[str]
    ) -> None:
        charge(
            ONE, replace(ONE, task="train", at="2013-02-01T00:00:00Z"),
            replace(ONE, pipeline="q", amount=0.25),
        )  # fmt: skip
        assert main(["cost", "--by", by]) == 0
        lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
        assert [line[0] for line in lines] == [*names, "sum"]
        assert lines[-1] == ["sum", "2", "3", "3.00", "1.50", "0.00", "3.25", "EUR"]

    def test_currencies_are_never_added(self, capsys: pytest.CaptureFixture[str]) -> None:
        charge(ONE, replace(ONE, attempt=2, currency="XXX", amount=0.01))
        assert main(["cost"]) == 0
        said = capsys.readouterr().out
        assert "1.50\tEUR" in said
        assert "0.0100\tXXX" in said
        assert "XXX: by example figures; name a file of your own in PERENNIAL_PRICES" in said

    def test_since_a_day(self, capsys: pytest.CaptureFixture[str]) -> None:
        charge(ONE)
        assert main(["cost", "--since", "2013-02-01"]) == 0
        assert "no run was recorded since 2013-02-01" in capsys.readouterr().out
        assert main(["cost", "--since", "February"]) == 78
        assert "--since: came 'February', wanted a day" in capsys.readouterr().err


@pytest.mark.usefixtures("home")
class TestRightSize:
    @pytest.mark.parametrize(
        ("peaks", "memory_gb"),
        [
            ([1000.0] * ENOUGH, 1.5),  # 1300 MB are 1.27 GB
            ([1024.0 / 1.3] * ENOUGH, 1.0),
            ([100.0] * 99 + [5000.0], 5.0),  # what was seen once is never taken away
            ([10.0] * ENOUGH, 0.25),
        ],
    )
    def test_memory_is_the_p95_with_headroom(self, peaks: list[float], memory_gb: float) -> None:
        (need,) = needs(runs(peaks))
        assert need.enough
        assert need.memory_gb == memory_gb

    def test_what_was_killed_counts_for_the_highest_alone(self) -> None:
        killed = replace(ONE, run="k", state="killed", peak_memory_mb=4096.0)
        (need,) = needs([*runs([1000.0] * 6), killed])
        assert (need.runs, need.p95_mb, need.highest_mb, need.memory_gb) == (6, 1000, 4096, 4)

    def test_processors_are_what_was_in_use(self) -> None:
        (need,) = needs(runs([1000.0] * ENOUGH, cpu_seconds=5000.0))
        assert need.cpu_share == pytest.approx(1.389, abs=0.001)
        assert need.cpus == 1.5
        (two_pods,) = needs(runs([1000.0] * ENOUGH, cpu_seconds=5000.0, pod_seconds=7200.0))
        assert two_pods.cpus == 0.75

    def test_the_snippet_keeps_what_the_pipeline_says(self) -> None:
        given = TaskResources(memory_gb=3, node_selector={"zone": "a"}, spot=True)
        pipeline = config.load("flight_delays").model_copy(update={"resources": {"default": given}})
        text = snippet(needs(runs([1000.0] * ENOUGH)), pipeline)
        assert yaml.safe_load(text)["resources"]["derive"] == {
            "cpus": 0.5, "memory_gb": 1.5, "node_selector": {"zone": "a"}, "spot": True,
        }  # fmt: skip
        assert f"# by {ENOUGH} runs" in text

    def test_too_few_runs_say_so(self, capsys: pytest.CaptureFixture[str]) -> None:
        charge(*runs([1000.0] * (ENOUGH - 1)))
        assert main(["cost", "--right-size"]) == 0
        said = capsys.readouterr().out
        assert f"# derive: {ENOUGH - 1} good runs are too few to tell, wanted {ENOUGH}" in said
        assert "resources:" not in said
        assert "flight_delays\tderive\t4\t3\t0.98\t0.98\t0.98\t1\t0.50" in said

    def test_a_pipeline_that_is_gone_is_told_of_all_the_same(self) -> None:
        told = needs(runs([1000.0] * ENOUGH))
        assert yaml.safe_load(right_size.snippet(told, None)) == {
            "resources": {"derive": {"cpus": 0.5, "memory_gb": 1.5}}
        }
