"""What each policy was worth, drawn for light and for dark pages."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from perennial.backtesting import grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from perennial.backtesting.judging import Judged, Verdict

THEMES = {
    "light": {"ink": "#1f2328", "soft": "#8c959f", "ours": "#0a5bc4", "other": "#b35900"},
    "dark": {"ink": "#e6edf3", "soft": "#6e7681", "ours": "#6cb0ff", "other": "#f0883e"},
}
MARKS = "osD^v<>dhp"


def svg(verdict: Verdict, metric: str, theme: str) -> str:
    """Draw the frontier of the metric against the number of retrainings, and the weeks."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    colours = THEMES[theme]
    with mpl.rc_context(_settings(colours)):
        figure = Figure(figsize=(11, 4.6), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(5, 6))
        _frontier(left, verdict, metric, colours)
        _weeks(right, verdict, metric, colours)
        made = io.StringIO()
        figure.savefig(made, format="svg", transparent=True, metadata={"Date": None})
    text = made.getvalue()
    return text[text.index("<svg") :]


def _settings(colours: dict[str, str]) -> dict[Any, Any]:
    """Give matplotlib's settings; the salt makes equal pictures equal bytes."""
    ink = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color")
    return {
        **dict.fromkeys(ink, colours["ink"]),
        "axes.edgecolor": colours["soft"],
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": colours["soft"],
        "grid.alpha": 0.25,
        "font.size": 10,
        "legend.frameon": False,
        "svg.hashsalt": "backtest",
    }


def _frontier(axis: Axes, verdict: Verdict, metric: str, colours: dict[str, str]) -> None:
    reached = int(max(one.judged.trained.max() for one in verdict.policies))
    best = verdict.best[:, : reached + 1]
    numbers = np.arange(best.shape[1])
    axis.fill_between(
        numbers, best.min(axis=0), best.max(axis=0), color=colours["soft"], alpha=0.2, linewidth=0
    )
    axis.plot(numbers, best.mean(axis=0), color=colours["soft"], label="oracle")
    for mark, one in zip(MARKS, verdict.policies, strict=False):
        qualities, trained = one.judged.qualities, one.judged.trained
        spread = [[one.judged.quality - qualities.min()], [qualities.max() - one.judged.quality]]
        axis.errorbar(
            trained.mean(), one.judged.quality, yerr=spread, fmt=mark, label=one.name,
            color=_colour(one, colours), elinewidth=0.8, fillstyle="none", markeredgewidth=1.4,
            markersize=11 if one.name == grid.OURS else 7,
        )  # fmt: skip
    axis.set_xlabel("retrainings")
    axis.set_ylabel(metric)
    axis.legend(fontsize=8, loc="best")


def _weeks(axis: Axes, verdict: Verdict, metric: str, colours: dict[str, str]) -> None:
    days = [window.start for window in verdict.spans[1].windows]
    lines = {grid.NEVER: colours["soft"], grid.WEEKLY: colours["other"], grid.OURS: colours["ours"]}
    for name, colour in lines.items():
        own = verdict.of(name).judged.values.mean(axis=0)
        axis.plot(days, own, color=colour, label=name)  # type: ignore[arg-type]
    walks = verdict.of(grid.OURS).judged.walks
    for label, fill in (("ours trains", "full"), ("ours trains, refused", "none")):
        marks = [
            (end, 0.02 + 0.03 * number)
            for number, walk in enumerate(walks)
            for end in walk.trained
            if (end in walk.promoted) == (fill == "full")
        ]
        axis.plot(
            [end for end, _ in marks], [height for _, height in marks], "^", fillstyle=fill,  # type: ignore[arg-type]
            color=colours["ours"], transform=axis.get_xaxis_transform(), markersize=5, label=label,
        )  # fmt: skip
    axis.set_ylabel(f"{metric} by week, mean over seeds")
    axis.tick_params(axis="x", rotation=30)
    axis.legend(fontsize=8, loc="best")


def _colour(one: Judged, colours: dict[str, str]) -> str:
    return {grid.OURS: colours["ours"], grid.WEEKLY: colours["other"]}.get(one.name, colours["ink"])
