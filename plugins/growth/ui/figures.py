"""Figures from numbers, as pure functions. The colours are those of a theme's template, so that themes can change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from growth.ui.intervals import Rate

THEMES = ("light", "dark")
HEIGHT = 320
RATES_HEIGHT = 360
MOST_TICKS = 13
MOST_MONTHS = 7  # labels that fit on a phone
ROW = 26  # pixels of a row of a heat map

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_FADED = 0.6
_STRIPES = "/"
_BEHIND = "rgba(128, 128, 140, 0.5)"
_COLOURS = {
    "light": ("#2563eb", "#d97706", "#059669", "#9333ea", "#dc2626", "#0891b2"),
    "dark": ("#60a5fa", "#fbbf24", "#34d399", "#c084fc", "#f87171", "#22d3ee"),
}
_HEAT = {
    "light": [[0, "#f1f5fd"], [0.1, "#cfdefb"], [0.3, "#8db1f4"], [1, "#1d4ed8"]],
    "dark": [[0, "#1a2338"], [0.1, "#22375f"], [0.3, "#2b5091"], [1, "#3f7fe6"]],
}
# Statuses from good to bad; paying, at risk, ready for an upsell. Readable in both themes, and named in the legend.
_GRADES = ("#10b981", "#f59e0b", "#ef4444")
_FLAGS = ("#3b82f6", "#ef4444", "#10b981")
_TEXT = {"light": "#3f3f46", "dark": "#d4d4d8"}
_LINES = {"light": "#e4e4e7", "dark": "#3f3f46"}


def template(theme: str) -> dict[str, Any]:
    """The colours of a theme, as a template of Plotly."""
    axis = {
        "gridcolor": _LINES[theme],
        "linecolor": _LINES[theme],
        "zerolinecolor": _LINES[theme],
        "automargin": True,
        "fixedrange": True,
        "title": {"standoff": 8},
    }
    layout = go.Layout(
        colorway=_COLOURS[theme],
        colorscale={"sequential": _HEAT[theme]},
        font={"family": "Inter, system-ui, sans-serif", "size": 12, "color": _TEXT[theme]},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hoverlabel={"align": "left"},
        xaxis=axis,
        yaxis=axis,
    )
    return go.layout.Template(layout=layout).to_plotly_json()


def _labels(names: Sequence[str]) -> list[str]:
    """Text from the data, escaped because Plotly interprets tags and entities."""
    return [escape(name, quote=False) for name in names]


def _figure(traces: Sequence[Any], height: int = HEIGHT, **layout: Any) -> go.Figure:
    layout = {
        "height": height,
        "margin": {"l": 8, "r": 12, "t": 12, "b": 8},
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.02,
            "yanchor": "bottom",
            "xanchor": "left",
            "traceorder": "normal",
        },
        "dragmode": False,
        "barcornerradius": 2,
    } | layout
    return go.Figure(traces, layout)


def _months_axis(months: Sequence[str]) -> dict[str, Any]:
    """Months as categories: as dates they would get ticks between them. The last month always has a label."""
    every = -(-len(months) // MOST_MONTHS)
    shown = list(months)[::-every][::-1]
    texts = []
    for before, month in zip(["", *shown], shown, strict=False):
        name = _MONTHS[int(month[5:7]) - 1]
        texts.append(name if before[:4] == month[:4] else f"{name}<br>{month[:4]}")
    order = {"categoryorder": "array", "categoryarray": list(months)}
    return {"type": "category", **order, "tickvals": shown, "ticktext": texts, "tickangle": 0, "showgrid": False}


def bars(
    labels: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    can_change: Sequence[bool] = (),
    stacked: bool = False,
) -> go.Figure:
    """Bars by month; those that can still change are pale and striped."""
    young = list(can_change) or [False] * len(labels)
    return _figure(
        [
            go.Bar(
                name=escape(name, quote=False),
                x=list(labels),
                y=list(values),
                marker={
                    "opacity": [_FADED if y else 1 for y in young],
                    "pattern": {"shape": [_STRIPES if y else "" for y in young], "solidity": 0.5},
                },
                hovertemplate="%{x}: %{y:,}",
            )
            for name, values in series.items()
        ],
        barmode="stack" if stacked else "group",
        xaxis=_months_axis(labels),
        yaxis={"rangemode": "tozero", "tickformat": ","},
        showlegend=len(series) > 1,
    )


def lying_bars(labels: Sequence[str], values: Sequence[float | None], texts: Sequence[str]) -> go.Figure:
    """Horizontal bars, the first on top, each with a text beside it."""
    most = max((value or 0 for value in values), default=0) or 1
    return _figure(
        [
            go.Bar(
                x=list(values),
                y=_labels(labels),
                text=_labels(texts),
                orientation="h",
                textposition="outside",
                cliponaxis=False,
                hovertemplate="%{y}: %{x:,}<extra></extra>",
            )
        ],
        max(RATES_HEIGHT, 60 + 44 * len(labels)),
        # Leaves room for the text beside the longest bar.
        xaxis={"range": [0, most * 1.6], "visible": False},
        yaxis={"type": "category", "autorange": "reversed", "showgrid": False, "ticklabelstandoff": 6},
        showlegend=False,
    )


def _whiskers(rates: Sequence[Rate]) -> dict[str, Any]:
    return {
        "type": "data",
        "symmetric": False,
        "array": [None if r.value is None else r.high - r.value for r in rates],
        "arrayminus": [None if r.value is None else r.value - r.low for r in rates],
        "thickness": 1.2,
        "width": 3,
    }


def rates_by_month(
    months: Sequence[str], series: Mapping[str, Sequence[Rate]], can_change: Sequence[bool]
) -> go.Figure:
    """Rates with their intervals; the points of those that can still change are hollow."""
    traces = []
    for name, rates in series.items():
        traces.append(
            go.Scatter(
                name=escape(name, quote=False),
                x=list(months),
                y=[rate.value for rate in rates],
                error_y=_whiskers(rates),
                mode="markers+lines",
                line={"width": 1.5, "dash": "solid"},
                marker={"size": 8, "symbol": ["circle-open" if young else "circle" for young in can_change]},
                customdata=[[rate.low, rate.high, rate.whole] for rate in rates],
                hovertemplate="%{x}: %{y:.1%} of %{customdata[2]:,}"
                "<br>between %{customdata[0]:.1%} and %{customdata[1]:.1%}",
            )
        )
    return _figure(
        traces,
        RATES_HEIGHT,
        xaxis=_months_axis(months),
        yaxis={"rangemode": "tozero", "tickformat": ".0%"},
        showlegend=True,
    )


def rates_by_channel(channels: Sequence[str], series: Mapping[str, Sequence[Rate]]) -> go.Figure:
    """A row for each channel, the first on top, with a point and an interval for each rate."""
    return _figure(
        [
            go.Scatter(
                name=escape(name, quote=False),
                x=[rate.value for rate in rates],
                y=_labels(channels),
                error_x=_whiskers(rates),
                mode="markers",
                marker={"size": 9},
                customdata=[[rate.low, rate.high, rate.whole] for rate in rates],
                hovertemplate="%{y}: %{x:.1%} of %{customdata[2]:,}"
                "<br>between %{customdata[0]:.1%} and %{customdata[1]:.1%}",
            )
            for name, rates in series.items()
        ],
        110 + 36 * len(channels),
        xaxis={"rangemode": "tozero", "tickformat": ".0%", "nticks": 8},
        yaxis={"type": "category", "autorange": "reversed", "ticklabelstandoff": 6},
        showlegend=True,
    )


def heat_map(
    cohorts: Sequence[str],
    ages: Sequence[int],
    shares: Sequence[Sequence[float | None]],
    texts: Sequence[Sequence[str]],
) -> go.Figure:
    """A row for each cohort, the oldest on top, and a column for each month of age; each cell shows its number."""
    return _figure(
        [
            go.Heatmap(
                x=[str(age) for age in ages],
                y=list(cohorts),
                z=[list(row) for row in shares],
                text=[list(row) for row in texts],
                texttemplate="%{text}",
                textfont={"size": 11},
                xgap=1,
                ygap=1,
                autocolorscale=True,
                zmin=0,
                zmax=1,
                hoverongaps=False,
                showscale=False,
                hovertemplate="cohort %{y}, month %{x}: %{z:.1%}<extra></extra>",
            )
        ],
        80 + ROW * len(cohorts),
        xaxis={"type": "category", "side": "top", "showgrid": False},
        yaxis={"type": "category", "autorange": "reversed", "showgrid": False, "ticklabelstandoff": 6},
    )


def curves(
    behind: Mapping[str, Sequence[float | None]], before: Mapping[str, Sequence[float | None]], width: Sequence[int]
) -> go.Figure:
    """Lines by months of age: a few in colour in front of many thin grey ones to compare them with."""
    traces = [
        go.Scatter(
            name=name,
            x=list(range(len(values))),
            y=list(values),
            mode="lines+markers",
            line={"width": wide},
            marker={"size": 5},
            zorder=2,
            hovertemplate="month %{x}: %{y:.1%}",
        )
        for (name, values), wide in zip(before.items(), width, strict=True)
    ]
    traces += [
        go.Scatter(
            name=name,
            x=list(range(len(values))),
            y=list(values),
            mode="lines",
            line={"width": 1, "color": _BEHIND},
            zorder=1,
            showlegend=False,
            hovertemplate="month %{x}: %{y:.1%}",
        )
        for name, values in behind.items()
    ]
    return _figure(
        traces,
        360,
        xaxis={
            "title": {"text": "months since the signup"},
            "nticks": MOST_TICKS,
            "showgrid": False,
            "zeroline": False,
        },
        yaxis={"rangemode": "tozero", "tickformat": ".0%"},
        showlegend=True,
    )


def days(dates: Sequence[str], series: Mapping[str, Sequence[float | None]], share: bool = False) -> go.Figure:
    """A line for each series by day."""
    number = ".1%" if share else ",.0f"
    return _figure(
        [
            go.Scatter(
                name=escape(name, quote=False),
                x=list(dates),
                y=list(values),
                mode="lines",
                line={"width": 1.5},
                hovertemplate=f"%{{x|%Y-%m-%d}}: %{{y:{number}}}",
            )
            for name, values in series.items()
        ],
        xaxis={"type": "date", "nticks": 7, "tickformat": "%b\n%Y", "hoverformat": "%Y-%m-%d", "showgrid": False}
        | {"ticklabelstandoff": 8},
        yaxis={"rangemode": "tozero", "tickformat": ".0%" if share else ","},
        showlegend=len(series) > 1,
    )


def came_and_left(
    months: Sequence[str], active: Mapping[str, Sequence[int]], left: Mapping[str, Sequence[int]]
) -> go.Figure:
    """The parts of each month's active users above the line, and the users who left below it."""
    signed = {name: (values, 1) for name, values in active.items()}
    signed |= {name: (values, -1) for name, values in left.items()}
    return _figure(
        [
            go.Bar(
                name=escape(name, quote=False),
                x=list(months),
                y=[sign * value for value in values],
                customdata=list(values),
                hovertemplate="%{x}: %{customdata:,}",
            )
            for name, (values, sign) in signed.items()
        ],
        barmode="relative",
        xaxis=_months_axis(months),
        yaxis={"tickformat": ","},
        showlegend=True,
    )


def stacked_lying_bars(labels: Sequence[str], series: Mapping[str, Sequence[float]]) -> go.Figure:
    """A horizontal bar for each label, the first on top, stacked from the series."""
    return _figure(
        [
            go.Bar(
                name=escape(name, quote=False),
                x=list(values),
                y=_labels(labels),
                orientation="h",
                hovertemplate="%{y}: %{x:,}",
            )
            for name, values in series.items()
        ],
        100 + 28 * len(labels),
        barmode="stack",
        xaxis={"tickformat": ",", "nticks": 6},
        yaxis={"type": "category", "autorange": "reversed", "showgrid": False, "ticklabelstandoff": 6},
        showlegend=True,
    )


def distribution(froms: Sequence[int], series: Mapping[str, Sequence[int]]) -> go.Figure:
    """Counts by score, the best status first; the logarithmic axis shows small counts beside large ones."""
    return _figure(
        [
            go.Bar(
                name=escape(name, quote=False),
                x=list(froms),
                # A logarithmic axis has no zero.
                y=[value or None for value in values],
                hovertemplate="from %{x}: %{y:,}",
            )
            for name, values in series.items()
        ],
        barmode="overlay",
        bargap=0.1,
        xaxis={"title": {"text": "health score, from"}, "dtick": 10, "showgrid": False, "zeroline": False},
        yaxis={"type": "log", "dtick": 1, "tickformat": ",", "range": [-0.3, None]},
        showlegend=True,
        **({"colorway": _GRADES} if len(series) == len(_GRADES) else {}),
    )


def flags(labels: Sequence[str], series: Mapping[str, Sequence[int]]) -> go.Figure:
    """Bars side by side for each label."""
    return _figure(
        [
            go.Bar(name=name, x=_labels(labels), y=list(values), hovertemplate="%{x}: %{y:,}")
            for name, values in series.items()
        ],
        barmode="group",
        xaxis={"type": "category", "showgrid": False},
        yaxis={"rangemode": "tozero", "tickformat": ",", "nticks": 6},
        showlegend=True,
        colorway=_FLAGS,
    )
