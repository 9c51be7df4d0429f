from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.__main__ import BENCHES, FOLDER, main, run
from bench.measured import Measured
from bench.page import number

if TYPE_CHECKING:
    from pathlib import Path

BENCH = '''
"""How fast numbers are given."""
from bench.measured import Measured

def measure(folder):
    assert folder.is_dir()
    yield Measured("give a number", {ours}, "another", 2.0, "s", {bound}, "by hand")
'''


def bench(folder: Path, name: str, ours: float, bound: float | None) -> Path:
    file = folder / f"{name}.py"
    file.write_text(BENCH.format(ours=ours, bound=bound))
    return file


def test_results_become_a_page_and_a_broken_bound_a_code(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    benches = {
        "kept": bench(tmp_path, "kept", 1.0, 0.5),
        "told": bench(tmp_path, "told", 1000.0, None),
        "broken": bench(tmp_path, "broken", 3.0, 1.2),
    }
    results, report = tmp_path / "results", tmp_path / "page.md"
    assert run(["kept", "told"], benches=benches, results=results, report=report) == 0
    first = report.read_text()
    assert "## kept\n\nHow fast numbers are given." in first
    assert "| give a number | 1 s | another | 2 s | 0.5 | 0.5 | yes |" in first
    assert "| give a number | 1,000 s | another | 2 s | 500 |  |  |" in first
    assert "- give a number: by hand" in first
    assert "load when it began" in first
    assert "## broken" not in first
    assert run(["broken"], benches=benches, results=results, report=report) == 1
    assert "broke a bound: broken" in capfd.readouterr().err
    assert "| give a number | 3 s | another | 2 s | 1.5 | 1.2 | **no** |" in report.read_text()
    assert report.read_text().startswith(first.rstrip()), "what did not run this time is kept"
    assert run(["kept"], benches=benches, results=results, report=report) == 0


def test_a_bench_that_crashes_keeps_its_former_result(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = bench(tmp_path, "kept", 1.0, 0.5)
    results, report = tmp_path / "results", tmp_path / "page.md"
    assert run(["kept"], benches={"kept": file}, results=results, report=report) == 0
    file.write_text('"""Nothing."""\n\ndef measure(folder):\n    yield from 1 / 0\n')
    assert run(["kept"], benches={"kept": file}, results=results, report=report) == 1
    assert "crashed: kept" in capfd.readouterr().err
    assert "give a number" in report.read_text()


def test_a_bound_is_a_ratio() -> None:
    assert Measured("a", 1.2, "b", 1.0, "s", 1.2).kept
    assert not Measured("a", 1.3, "b", 1.0, "s", 1.2).kept
    assert Measured("a", 9.0, "b", 1.0, "s").kept


@pytest.mark.parametrize(
    ("value", "shown"), [(45, "45"), (0.033, "0.033"), (1234.5, "1,234"), (3.14159, "3.14")]
)
def test_numbers_are_short(value: float, shown: str) -> None:
    assert number(value) == shown


def test_each_bench_is_there_and_an_unknown_one_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert all((FOLDER / file).is_file() for file in BENCHES.values())
    with pytest.raises(SystemExit):
        main(["parsnips"])
    assert "came parsnips; wanted some of parsing" in capsys.readouterr().err
