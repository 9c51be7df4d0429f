"""A task of Airflow's own that waits for a file and says when it begins and ends."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, task

with DAG(dag_id="waiting", schedule=None, is_paused_upon_creation=False):

    @task(retries=2, retry_delay=timedelta(seconds=10))
    def wait(dag_run: Any = None) -> None:
        """Write a line at the begin and one at the end."""
        folder = Path(dag_run.conf["folder"])
        with (folder / "said").open("a") as said:
            said.write(f"begin {os.getpid()} {time.time()}\n")
            said.flush()
            while not (folder / "go").exists():
                time.sleep(0.2)
            said.write(f"end {os.getpid()} {time.time()}\n")

    wait()
