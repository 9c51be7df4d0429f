"""torchrun in a fork of the warm launcher: its ranks are forks, too, and import nothing anew.

A fresh torchrun and its one rank import for 6 s of the 15 s of processor time that a training of
twelve weeks of flights takes.
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

AGENT = "torch.distributed.launcher.api"
"""What torchrun runs: it starts the ranks, and ends them all where one fails."""
DEVICES = Path("/dev")
GPUS = ("nvidia*", "nvhost*", "dxg", "kfd")
"""Those of GPUs: their drivers refuse a fork of whoever has looked for them, as the agent does."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""Which the agent handles."""
log = logging.getLogger("ml_launch.ranks")


def may_fork() -> bool:
    """Tell whether ranks may be forks here: on another system they would outlive their agent."""
    found = (device for name in GPUS for device in DEVICES.glob(name))
    return sys.platform == "linux" and next(found, None) is None


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
    elastic = importlib.import_module(AGENT)
    with tempfile.TemporaryDirectory(prefix="torchelastic_") as folder:
        settings = elastic.LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=str(uuid.uuid4()),
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            start_method="fork",
            logs_specs=elastic.DefaultLogsSpecs(log_dir=folder),
        )
        try:
            elastic.elastic_launch(settings, _rank)(tuple(arguments))
        except elastic.ChildFailedError as fault:
            log.error("%s", fault)
            return 1
        finally:
            _without_handlers()
    return 0


def _rank(arguments: Sequence[str]) -> None:
    """Be a rank; it has to return, or to fail: for one that just leaves the agent would wait."""
    _without_handlers()
    code: int = importlib.import_module("ml_tasks.__main__").main(list(arguments))
    if code:
        sys.exit(code)


def _without_handlers() -> None:
    """Take away the agent's, which neither a rank nor what comes after the agent should have."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)
