"""Shows what failed while others run on: a run that is cut off shows nothing at its end."""

from __future__ import annotations

from typing import Any

import pytest


class Failures:
    """Writes each failure, and that of a first try."""

    def __init__(self, terminal: Any) -> None:
        self.terminal = terminal

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome in ("failed", "rerun"):
            self.terminal.ensure_newline()
            self.terminal.write_sep("_", f"{report.nodeid}: {report.when} {report.outcome}")
            self.terminal.write_line(report.longreprtext)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Show what fails, where there is somebody to show it to."""
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None:
        config.pluginmanager.register(Failures(terminal))
