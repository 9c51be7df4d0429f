"""What a second try of a test needs: a limit of its own, and the reason of the first, at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = pytest.StashKey[Any]()


class Said:
    """Shows what failed while others run on: a run that is cut off shows nothing at its end."""

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
        config.pluginmanager.register(Said(terminal))


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> None:
    """Remember the limit of a test; the plugin itself then sets it."""
    item.stash[LIMIT] = settings


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Set the limit anew for another try: the plugin sets it once for all, and it may be over."""
    if getattr(item, "execution_count", 1) > 1 and LIMIT in item.stash:
        item.ihook.pytest_timeout_cancel_timer(item=item)
        item.ihook.pytest_timeout_set_timer(item=item, settings=item.stash[LIMIT])
    return (yield)
