"""What a backtest came to: as a table, as a page, and in docs/backtest.md."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perennial import measured_page
from perennial.backtesting import grid, picture

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jinja2 import Template
    from numpy.typing import NDArray

    from ml_tasks.config import Retraining
    from ml_tasks.result import Window
    from perennial.backtesting.judging import Judged
    from perennial.backtesting.replay import Replay

BEGIN = "<!-- measured: perennial backtest --write -->"
PICTURES = {"light": "images/backtest.svg", "dark": "images/backtest-dark.svg"}
COLUMNS = ("policy", "retrainings", "promoted", "metric", "over seeds", "regret")
CHOICES = ("policy", "tried", "chosen", "retrainings", "metric")


def table(found: Replay) -> tuple[str, tuple[str, ...], list[tuple[str, ...]]]:
    """Give title, columns and rows of what was judged."""
    windows = found.verdict.spans[1].windows
    title = f"{found.pipeline.name}, {_days(windows)}: {found.pipeline.evaluation.metric}"
    return title, COLUMNS, [_row(one) for one in found.verdict.policies]


def lines(found: Replay) -> list[str]:
    """Give what is to be said of it."""
    verdict, over = found.verdict, found.verdict.over_weekly
    ours, weekly = verdict.of(grid.OURS), verdict.of(grid.WEEKLY)
    answer = "reached" if verdict.reached else "not reached"
    return [
        f"by how much ours is better than weekly retraining: {over.value:+.4f} "
        f"({over.low:+.4f} to {over.high:+.4f} over resampled windows), with "
        f"{ours.judged.trained.mean():.1f} retrainings in place of "
        f"{weekly.judged.trained.mean():.1f}; at least its metric with at most half of its "
        f"retrainings is {answer}",
        f"chosen on {_days(verdict.spans[0].windows)}: {told(ours.chosen.retraining)}",
    ]


def page(found: Replay) -> Path:
    """Write the page; give where."""
    title, columns, rows = table(found)
    text = _template().render(
        title=title,
        columns=columns,
        rows=rows,
        ours=grid.OURS,
        lines=lines(found),
        choices=CHOICES,
        chosen=_choices(found),
        facts=_facts(found),
        pictures={theme: _drawn(found, theme) for theme in picture.THEMES},
    )
    file = found.place / "backtest.html"
    file.write_text(text)
    return file


def write(found: Replay, page: Path) -> None:
    """Put the figures between the marks of the page, and draw the pictures beside it."""
    measured_page.write(page, BEGIN, _parts(found))
    for theme, name in PICTURES.items():
        file = page.parent / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_drawn(found, theme))


def _parts(found: Replay) -> Iterator[str]:
    title, columns, rows = table(found)
    yield _facts(found)
    yield f"**{title}**"
    yield measured_page.table(columns, rows)
    yield "\n\n".join(f"{line[0].upper()}{line[1:]}." for line in lines(found))
    yield (
        f'<picture>\n<source media="(prefers-color-scheme: dark)" srcset="{PICTURES["dark"]}">\n'
        f'<img alt="Metric against number of retrainings" src="{PICTURES["light"]}">\n</picture>'
    )
    yield f"What was chosen, on {_days(found.verdict.spans[0].windows)}:"
    yield measured_page.table(CHOICES, _choices(found))


def told(retraining: Retraining) -> str:
    """Say a policy in a line, as the YAML has it."""
    if not retraining.policies:
        return "nothing"
    names = [
        f"{one.name} ({', '.join(f'{k} {v}' for k, v in one.params.items())})"
        if one.params
        else one.name
        for one in retraining.policies
    ]
    limits = (
        f"cool_down_days {retraining.cool_down_days}, most_a_month {retraining.most_a_month}, "
        f"least_gain {retraining.least_gain:g}"
    )
    return f"{f' {_join(retraining)} '.join(names)}; {limits}"


def _join(retraining: Retraining) -> str:
    return "or" if retraining.when == "any" else "and"


def _row(one: Judged) -> tuple[str, ...]:
    judged = one.judged
    return (
        one.name,
        _counted(judged.trained),
        _counted(judged.promoted),
        f"{judged.quality:.4f}",
        f"{judged.qualities.min():.4f} to {judged.qualities.max():.4f}",
        f"{round(float(one.regret.mean()), 4) + 0.0:.4f}",
    )


def _choices(found: Replay) -> list[tuple[str, ...]]:
    return [
        (
            one.name,
            str(one.tried),
            told(one.chosen.retraining),
            _counted(one.chosen.trained),
            f"{one.chosen.quality:.4f}",
        )
        for one in found.verdict.policies
    ]


def _facts(found: Replay) -> str:
    early, late = found.verdict.spans
    seeds = ", ".join(str(seed) for seed in found.seeds)
    return (
        f"{found.candidates} trainings, one at each window's end for each of the seeds {seeds}. "
        f"Parameters are chosen on {_days(early.windows)} ({len(early.windows)} windows, from the "
        f"model of {early.first:%Y-%m-%d}) and judged on {_days(late.windows)} "
        f"({len(late.windows)} windows, from the model of {late.first:%Y-%m-%d})."
    )


def _counted(numbers: NDArray[Any]) -> str:
    """Give the mean over seeds, and the range where they differ."""
    low, high = int(numbers.min()), int(numbers.max())
    return f"{low}" if low == high else f"{numbers.mean():.1f} ({low} to {high})"


def _days(windows: Sequence[Window]) -> str:
    return f"{windows[0].start:%Y-%m-%d} to {windows[-1].end:%Y-%m-%d}"


def _drawn(found: Replay, theme: str) -> str:
    return picture.svg(found.verdict, found.pipeline.evaluation.metric, theme)


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader

    loader = FileSystemLoader(Path(__file__).parent)
    return Environment(loader=loader, autoescape=True).get_template("report.html.jinja")
