"""Charts as SVG or PNG, drawn without a browser or a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

FORMATS = (".svg", ".png")
_INK, _MUTED, _BAR, _RANGE = "#1f2933", "#5f6c7b", "#2f6f8f", "#9fb7c4"
_PNG_SCALE = 2.0
MAX_BARS = 40


class ChartError(ValueError):
    """The file name says no known format, or there is nothing to draw."""


def bars(rows: Sequence[Mapping[str, Any]], *, by: str, value: str, title: str, subtitle: str = "") -> alt.LayerChart:
    """Horizontal bars, largest first, with the interval where the rows have `low_pct` and `high_pct`."""
    shown = [dict(row) for row in rows if row.get(value) is not None][:MAX_BARS]
    if not shown:
        raise ChartError(f"{title}: there is nothing to draw, no row has a {value.replace('_', ' ')}")
    order = alt.EncodingSortField(field=value, order="descending")
    y = alt.Y(f"{by}:N", sort=order, title=None)
    base = alt.Chart(alt.InlineData(values=shown))
    chart = base.mark_bar(color=_BAR, size=14).encode(
        y=y, x=alt.X(f"{value}:Q", stack=None, title=value.replace("_", " "))
    )
    layers: list[alt.Chart] = [chart]
    if {"low_pct", "high_pct"} <= shown[0].keys() and value.endswith("_pct"):
        layers.append(base.mark_rule(color=_RANGE, strokeWidth=3).encode(y=y, x="low_pct:Q", x2="high_pct:Q"))
    drawn: alt.LayerChart = (
        alt.layer(*layers)
        .properties(title=alt.Title(title, subtitle=subtitle), width=520, height=alt.Step(24))
        .configure_view(stroke=None)
        .configure_axis(grid=False, labelColor=_INK, titleColor=_MUTED, labelLimit=260)
        .configure_title(anchor="start", color=_INK, subtitleColor=_MUTED)
    )
    return drawn


def save(chart: alt.LayerChart, path: Path) -> None:
    """Write in the format the file name ends with."""
    if path.suffix not in FORMATS:
        raise ChartError(f"{path.name}: the name must end with one of {', '.join(FORMATS)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    spec = chart.to_json()
    if path.suffix == ".svg":
        path.write_text(vl_convert.vegalite_to_svg(spec), encoding="utf-8")
    else:
        path.write_bytes(vl_convert.vegalite_to_png(spec, scale=_PNG_SCALE))
