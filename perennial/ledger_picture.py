"""The ledger as a picture that follows the reader's light or dark look."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_tasks.io.ledger import Paid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ml_tasks.io.ledger import LedgerLine

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


def draw(found: Sequence[LedgerLine], file: Path) -> None:
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
    file.write_text(_both_looks(buffer.getvalue()))


def _gains(axes: Any, found: Sequence[LedgerLine]) -> None:
    """Draw a point a graded training; those whose gain nobody predicted stand apart."""
    graded = [one for one in found if one.realised_gain is not None]
    axes.set_title("What retrainings won", loc="left", color=INK)
    if not graded:
        axes.text(0.5, 0.5, "nothing was graded yet", ha="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    known = [one.predicted_gain for one in graded if one.predicted_gain is not None]
    ends = [min(0.0, *known, *_bounds(graded)), max(0.0, *known, *_bounds(graded))]
    apart = ends[0] - 0.15 * (ends[1] - ends[0])
    axes.plot(ends, ends, linestyle="--", color=FAINT, zorder=0)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_xlim(apart - 0.08 * (ends[1] - ends[0]), ends[1] + 0.08 * (ends[1] - ends[0]))
    ticks = [tick for tick in axes.get_xticks() if ends[0] <= tick <= ends[1]]
    axes.set_xticks([apart, *ticks], ["none", *(f"{tick:g}" for tick in np.round(ticks, 6))])
    for one in graded:
        x = apart if one.predicted_gain is None else one.predicted_gain
        if one.low is not None and one.high is not None:
            axes.plot([x, x], [one.low, one.high], color=COLOURS[one.paid], linewidth=1.6)
        mark = "v" if one.withdrawn else "o"
        axes.plot([x], [one.realised_gain], mark, color=COLOURS[one.paid], markersize=6)
        place = {"xytext": (6, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(f"{one.version}", (x, one.realised_gain), color=INK, fontsize=8, **place)
    axes.plot([], [], "v", color=INK, label="rolled back")
    axes.legend(frameon=False, loc="upper left", labelcolor=INK)
    axes.set_xlabel(f"predicted gain of {graded[-1].metric}")
    axes.set_ylabel("realised gain, 95 % interval, by version")


def _bounds(graded: Sequence[LedgerLine]) -> list[float]:
    """Give how far intervals and values reach."""
    found = (x for one in graded for x in (one.realised_gain, one.low, one.high))
    return [x for x in found if x is not None]


def _costs(axes: Any, found: Sequence[LedgerLine]) -> None:
    """Draw the cost of all trainings up to each, and how each ended."""
    axes.set_title("What they cost", loc="left", color=INK)
    if not found:
        axes.set_axis_off()
        return
    amounts = np.cumsum([one.amount for one in found])
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
    axes.legend(frameon=False, loc="upper left", labelcolor=INK)


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
