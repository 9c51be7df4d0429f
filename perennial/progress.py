"""Progress of things that take a while: a bar for a person, a line a change for a program."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich import progress

from perennial.console import OUT

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console


class Progress:
    """So many of so many done, and what is being done."""

    def __init__(self, what: str, total: int, out: Console = OUT) -> None:
        """Show nothing yet."""
        self._out = out
        self._what, self._total, self._said, self._shown = what, total, -1, False
        self._began = time.monotonic()
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("{task.fields[doing]}"),
            console=out,
            disable=not out.is_terminal,
        )
        self._task = self._bar.add_task(what, total=total, doing="")

    def __enter__(self) -> Progress:
        """Show nothing before there is something to show."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _fault: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Leave the last state standing."""
        if self._shown:
            self._bar.stop()

    def show(self, done: int, doing: str) -> None:
        """Say how far it is."""
        if not self._shown:
            self._bar.start()
            self._shown = True
        self._bar.update(self._task, completed=done, doing=doing)
        if not self._out.is_terminal and done != self._said:
            seconds = time.monotonic() - self._began
            said = f"{self._what} {done}/{self._total} after {seconds:.0f} s {doing}"
            self._out.print(said.rstrip(), markup=False)
        self._said = done

    def say(self, text: str) -> None:
        """Show a line that stays."""
        self._out.print(text, markup=False)
