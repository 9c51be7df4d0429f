"""What Airflow pays to read our DAG files.

The dag-processor parses each file in a child that it forks, again and again. So does this bench:
Airflow is imported, with the modules of Airflow's that a file names; then each of `dags/*.py` is
parsed and its DAGs are serialised in a fork of its own by the function that the dag-processor
itself calls, in turn with a file of one empty DAG. What a file imports besides is part of its time.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

from bench import ROOT
from bench.measured import Measured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REPETITIONS = 7
WANTED_SECONDS = 0.5
EMPTY = "from airflow.sdk import DAG\n\nDAG(dag_id='empty', schedule=None)\n"


def measure(folder: Path) -> Iterator[Measured]:
    """Parse each file in forks of a process that has Airflow imported."""
    environ = {
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    }
    os.environ.update(environ)  # noqa: TID251 - Airflow reads them as it is imported
    import structlog
    from airflow.dag_processing import processor

    log = structlog.get_logger()

    def parse(file: Path) -> None:
        request = processor.DagFileParseRequest(
            file=str(file), bundle_path=file.parent, bundle_name="bench"
        )
        found = processor._parse_file(request, log)
        assert found is not None
        assert not found.import_errors, found.import_errors

    (folder / "empty.py").write_text(EMPTY)
    ahead = sorted(name for name in sys.modules if name.startswith(("ml_tasks", "ml_launch")))
    assert not ahead, f"the dag-processor would not have imported {ahead}"
    files = [folder / "empty.py", *sorted((ROOT / "dags").glob("*.py"))]
    for file in files:
        processor._pre_import_airflow_modules(str(file), log)
    seconds: dict[str, list[float]] = {file.stem: [] for file in files}
    for _ in range(REPETITIONS):
        for file in files:
            seconds[file.stem].append(in_fork(partial(parse, file)))
    medians = {name: statistics.median(found) for name, found in seconds.items()}
    for name, found in medians.items():
        if name != "empty":
            yield Measured(
                f"parse `dags/{name}.py`", found, "promised", WANTED_SECONDS, "s CPU", 1.0
            )
    most = max(medians, key=lambda name: medians[name])
    yield Measured(
        f"parse `dags/{most}.py`, the slowest", medians[most], "a file of one empty DAG",
        medians["empty"], "s CPU",
    )  # fmt: skip


def in_fork(work: Callable[[], object]) -> float:
    """Give the processor seconds that work takes in a fork of this process."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        began = time.process_time()
        code = 1
        try:
            work()
            os.write(write, repr(time.process_time() - began).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as stream:
        said = stream.read()
    os.waitpid(pid, 0)
    return float(said)
