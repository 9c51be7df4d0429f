"""The ledger as a picture that follows the reader's light or dark look."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_tasks.io.ledger import Paid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ml_tasks.io.ledger import Retraining

INK, PAPER, FAINT = "#1f2328", "#ffffff", "#d0d7de"
COLOURS = {
    Paid.YES: "#1a7f37",
    Paid.NO: "#cf222e",
    Paid.UNKNOWN: "#9a6700",
    Paid.REFUSED: "#6e7781",
    Paid.FAILED: "#8250df",
    Paid.FIRST: "#0969da",
}
DARK = {
    INK: "#e6edf3", PAPER: "#0d1117", FAINT: "#3d444d", "#1a7f37": "#3fb950",
    "#cf222e": "#f85149", "#9a6700": "#d29922", "#6e7781": "#9198a1", "#8250df": "#ab7df8",
    "#0969da": "#4493f8",
}  # fmt: skip
"""What each colour becomes where the reader wants it dark."""
SETTINGS: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "ledger", "text.color": INK, "axes.labelcolor": INK,
    "axes.edgecolor": FAINT, "xtick.color": INK, "ytick.color": INK, "font.family": "sans-serif",
    "font.size": 9.0,
}  # fmt: skip


def draw(found: Sequence[Retraining], file: Path) -> None:
    """Draw predicted against realised gain with its interval, and what it all cost by and by."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(11, 4.2), layout="constrained", facecolor=PAPER)
        gains, costs = figure.subplots(1, 2)
        _gains(gains, found)
        _costs(costs, found)
        for axes in (gains, costs):
            axes.set_facecolor(PAPER)
            axes.grid(color=FAINT, linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(_both_looks(buffer.getvalue()))


def _gains(axes: Any, found: Sequence[Retraining]) -> None:
    """Draw a point a graded training; one whose gain nobody predicted lies at the left edge."""
    graded = [one for one in found if one.realised_gain is not None]
    known = [one.predicted_gain for one in graded if one.predicted_gain is not None]
    reach = [*known, 0.0, *(x for o in graded for x in (o.low, o.high) if x is not None)]
    edge = min(reach) - 0.12 * (max(reach) - min(reach) or 1)
    for one in graded:
        x = edge if one.predicted_gain is None else one.predicted_gain
        y, colour = one.realised_gain, COLOURS[one.paid]
        if one.low is not None and one.high is not None:
            axes.plot([x, x], [one.low, one.high], color=colour, linewidth=1.6)
        mark = "v" if one.withdrawn else "o" if one.predicted_gain is not None else "<"
        axes.plot([x], [y], mark, color=colour, markersize=6)
        axes.annotate(f" {one.version}", (x, y), color=INK, fontsize=8, va="center")
    if known:
        ends = [min(reach), max(reach)]
        axes.plot(ends, ends, linestyle="--", color=FAINT, zorder=0)
    axes.axhline(0, color=INK, linewidth=0.8)
    if not graded:
        axes.text(0.5, 0.5, "nothing was graded yet", ha="center", transform=axes.transAxes)
    metric = next((one.metric for one in graded), None)
    axes.set_xlabel(f"predicted gain{f' of {metric}' if metric else ''}; < nobody predicted one")
    axes.set_ylabel("realised gain, 95 % interval")
    axes.set_title("What retrainings won", loc="left", color=INK)


def _costs(axes: Any, found: Sequence[Retraining]) -> None:
    """Draw the cost of all trainings up to each, and how each ended."""
    amounts = np.cumsum([one.amount for one in found]) if found else np.zeros(0)
    places = np.arange(1, len(found) + 1)
    axes.step(places, amounts, where="mid", color=INK, linewidth=1.2)
    for paid, colour in COLOURS.items():
        own = [n for n, one in enumerate(found) if one.paid is paid]
        if own:
            axes.plot(places[own], amounts[own], "o", color=colour, markersize=6, label=str(paid))
    currency = next((one.currency for one in reversed(found) if one.currency), "")
    axes.set_xlabel("training, in the order in which they were asked for")
    axes.set_ylabel(f"cost so far {currency}".strip())
    axes.set_ylim(bottom=0)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_title("What they cost", loc="left", color=INK)
    if found:
        legend = axes.legend(frameon=False, loc="upper left")
        for text in legend.get_texts():
            text.set_color(INK)


def _both_looks(svg: str) -> str:
    """Give the picture with its colours by name, and what each is in either look."""
    names = {light: f"--c{n}" for n, light in enumerate(DARK)}
    for light, name in names.items():
        svg = svg.replace(light, f"var({name})")
    light_look = "".join(f"{name}:{light};" for light, name in names.items())
    dark_look = "".join(f"{name}:{DARK[light]};" for light, name in names.items())
    style = (
        f"<style>svg{{{light_look}}}"
        f"@media (prefers-color-scheme:dark){{svg{{{dark_look}}}}}</style>"
    )
    head, tag, rest = svg.partition("<defs>")
    return f"{head}{style}{tag}{rest}"
