"""The forecast as a picture: history, forecast line and interval band, as an SVG that is the same every time.

Only matplotlib's `Figure` is used, never its global `pyplot`. Text stays text: small, selectable, and drawn
with the reader's fonts, so that a title in any script shows.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

from forecast.engine import Outcome
from forecast.history import History
from forecast.prediction import METHOD_NAMES
from forecast.request import ForecastRequest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

__all__ = ["draw"]

SIZE_INCHES = (9.6, 4.8)
SHOWN_PER_STEP = (
    4  # history is drawn four times as long as the forecast, or what is at least needed to read it
)
LEAST_SHOWN = 120
INK, MUTED, GRID, HISTORY, FORECAST = "#1f2937", "#6b7280", "#e5e7eb", "#475569", "#2563eb"

# Any: matplotlib's own signature.
STYLE: dict[RcKeyType, Any] = {
    "date.converter": "concise",
    "svg.hashsalt": "switchyard",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica", "sans-serif"],
    "font.size": 10,
    "figure.constrained_layout.h_pad": 0.14,
    "figure.constrained_layout.w_pad": 0.14,
    "text.parse_math": False,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}


def draw(request: ForecastRequest, outcome: Outcome) -> str:
    """An SVG document."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # A title in a script DejaVu lacks is measured roughly; the reader's browser has the glyphs.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=SIZE_INCHES, layout="constrained", facecolor="white")
        axes = figure.add_subplot()
        _lines(axes, _recent(request.history, request.horizon), request, outcome)
        _frame(axes, request, outcome)
        return _svg(figure)


def _recent(history: History, horizon: int) -> History:
    shown = max(LEAST_SHOWN, SHOWN_PER_STEP * horizon)
    return replace(history, days=history.days[-shown:], values=history.values[-shown:])


def _lines(axes: Axes, history: History, request: ForecastRequest, outcome: Outcome) -> None:
    past, ahead = _places(history.days), _places([point.day for point in outcome.points])
    lower, upper = [point.lower for point in outcome.points], [point.upper for point in outcome.points]
    band = f"{request.level:.0%} interval"
    axes.plot(past, history.values, color=HISTORY, linewidth=1.1, label="History")
    axes.fill_between(ahead, lower, upper, color=FORECAST, alpha=0.16, linewidth=0, label=band)
    axes.plot(
        ahead, [point.yhat for point in outcome.points], color=FORECAST, linewidth=1.8, label="Forecast"
    )
    axes.axvline(past[-1], color=MUTED, linewidth=0.8, linestyle=(0, (3, 3)))


def _places(days: Sequence[date]) -> list[float]:
    from matplotlib.dates import date2num

    # matplotlib's dates have no annotations.
    return [float(place) for place in date2num(days)]  # type: ignore[no-untyped-call]


def _frame(axes: Axes, request: ForecastRequest, outcome: Outcome) -> None:
    axes.xaxis_date()
    axes.yaxis.set_major_formatter("{x:,.10g}")
    axes.grid(visible=True, axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
    axes.margins(x=0.01)
    unit = "days" if request.history.frequency == "daily" else "months"
    axes.set_title(request.name or "Forecast", loc="left", color=INK, fontsize=13, fontweight="bold", pad=24)
    subtitle = f"{request.horizon} {unit} by {METHOD_NAMES[outcome.method]}, {request.level:.0%} interval"
    axes.text(0, 1.02, subtitle, transform=axes.transAxes, color=MUTED, fontsize=10, va="bottom")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, labelcolor=INK, fontsize=9)


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()
