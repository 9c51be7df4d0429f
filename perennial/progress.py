"""Progress of things that take a while: a bar for a person, a line a change for a program."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich import progress

from perennial.console import OUT, plain

if TYPE_CHECKING:
    from types import TracebackType


class Progress:
    """So many of so many done, and what is being done."""

    def __init__(self, what: str, total: int) -> None:
        """Show nothing yet."""
        self._what, self._total, self._said = what, total, -1
        self._began = time.monotonic()
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("{task.fields[doing]}"),
            console=OUT,
            disable=not OUT.is_terminal,
        )
        self._task = self._bar.add_task(what, total=total, doing="")

    def __enter__(self) -> Progress:
        """Begin to show."""
        self._bar.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _fault: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Leave the last state standing."""
        self._bar.stop()

    def show(self, done: int, doing: str) -> None:
        """Say how far it is."""
        self._bar.update(self._task, completed=done, doing=doing)
        if not OUT.is_terminal and done != self._said:
            seconds = time.monotonic() - self._began
            plain(f"{self._what} {done}/{self._total} after {seconds:.0f} s {doing}".rstrip())
        self._said = done
