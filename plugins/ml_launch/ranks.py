"""torchrun in a fork of the warm launcher: its ranks are forks, too, and import nothing anew.

A rank takes as long to import PyTorch and what is learned from as it takes to learn from some
thousand rows, and torchrun takes a third of that before it starts one.
"""

from __future__ import annotations

import importlib
import logging
import signal
import sys
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LIBRARY = "torch.distributed.launcher.api"
"""PyTorch's elastic agent, which is what torchrun runs."""
GPUS = (Path("/dev/nvidiactl"), Path("/dev/kfd"))
"""There where the machine has any: their drivers refuse a fork of whoever has looked for them."""
log = logging.getLogger("ml_launch.ranks")


def may_fork() -> bool:
    """Tell whether ranks may be forks on this machine."""
    return not any(device.exists() for device in GPUS)


def run(processes: int, arguments: Sequence[str]) -> int:
    """Do what `torchrun --standalone --nproc-per-node=PROCESSES -m ml_tasks ARGUMENTS` does.

    The agent is the same one, told to fork where torchrun starts interpreters
    (https://docs.pytorch.org/docs/stable/elastic/multiprocessing.html).

    Args:
        processes: How many ranks.
        arguments: What follows `python -m ml_tasks`.

    Returns:
        1 where a rank failed, as torchrun does; what failed is in the log, and in the result.
    """
    torch = importlib.import_module(LIBRARY)
    with tempfile.TemporaryDirectory(prefix="torchelastic_") as folder:
        settings = torch.LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=str(uuid.uuid4()),
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            monitor_interval=0.1,
            start_method="fork",
            logs_specs=torch.DefaultLogsSpecs(log_dir=folder),
        )
        try:
            torch.elastic_launch(settings, _rank)(tuple(arguments))
        except torch.ChildFailedError as fault:
            log.error("%s", fault)
            return 1
    return 0


def _rank(arguments: Sequence[str]) -> None:
    # The agent's own: a rank ends by them, until the task says otherwise.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    code: int = importlib.import_module("ml_tasks.__main__").main(list(arguments))
    if code:
        sys.exit(code)
