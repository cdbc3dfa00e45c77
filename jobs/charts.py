"""Charts as SVG or PNG, drawn without a browser or a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import altair as alt
import vl_convert

FORMATS = (".svg", ".png")
_INK, _MUTED, _BAR, _RANGE, _TAKES = "#1f2933", "#5f6c7b", "#2f6f8f", "#9fb7c4", "#b5542f"
_PARTS = ("#1f4e66", "#2f6f8f", "#4f93ad", "#7a8fb8", "#b5542f", "#a7b1bb")
_PNG_SCALE = 2.0
MAX_BARS = 40


class ChartError(ValueError):
    """The file name says no known format, or there is nothing to draw."""


def bars(rows: Sequence[Mapping[str, Any]], *, by: str, value: str, title: str, subtitle: str = "") -> alt.LayerChart:
    """Horizontal bars, largest first, each with its number; and the interval where the rows have it in per cent."""
    shown = [_labelled(row, by, value) for row in rows if row.get(value) is not None][:MAX_BARS]
    if not shown:
        raise ChartError(f"{title}: there is nothing to draw, no row has a {value.replace('_', ' ')}")
    order = alt.EncodingSortField(field=value, order="descending")
    y = alt.Y(f"{by}:N", sort=order, title=None)
    base = alt.Chart(alt.InlineData(values=shown))
    chart = base.mark_bar(color=_BAR, size=14).encode(
        y=y, x=alt.X(f"{value}:Q", stack=None, title=_titled(value), axis=alt.Axis(tickCount=6))
    )
    layers: list[alt.Chart] = [chart]
    if {"low_pct", "high_pct"} <= shown[0].keys() and value.endswith("_pct"):
        layers.append(base.mark_rule(color=_RANGE, strokeWidth=3).encode(y=y, x="low_pct:Q", x2="high_pct:Q"))
    layers.append(base.mark_text(align="left", dx=5, color=_MUTED).encode(y=y, x="_end:Q", text="_label:N"))
    drawn: alt.LayerChart = (
        alt.layer(*layers)
        .properties(title=alt.Title(title, subtitle=subtitle), width=520, height=alt.Step(24))
        .configure_view(stroke=None)
        .configure_axis(grid=False, labelColor=_INK, titleColor=_MUTED, labelLimit=260)
        .configure_title(anchor="start", color=_INK, subtitleColor=_MUTED)
    )
    return drawn


def _labelled(row: Mapping[str, Any], by: str, value: str) -> dict[str, Any]:
    """The row with its number as text, and where that stands: behind the bar and behind the interval."""
    number = row[value]
    high = row.get("high_pct") if value.endswith("_pct") else None
    text = f"{number:,.1f}" if isinstance(number, float) else f"{number:,}"
    name = str(row.get(by) or "").replace("_", " ")
    return {**row, by: name, "_label": text, "_end": max(number, high or number)}


def _titled(value: str) -> str:
    """A column's name as a title: `win_rate_pct` is a win rate in per cent."""
    stem, _, unit = value.rpartition("_")
    return {"pct": f"{stem.replace('_', ' ')}, %", "usd": f"{stem.replace('_', ' ')}, US dollars"}.get(
        unit if stem else "", value.replace("_", " ")
    )


def stacked(
    rows: Sequence[Mapping[str, Any]], *, by: str, part: str, value: str, order: Sequence[str], title: str
) -> alt.LayerChart:
    """One horizontal bar a group, its parts side by side in the given order, each with its number where it fits."""
    if not rows:
        raise ChartError(f"{title}: there is nothing to draw")
    base = alt.Chart(alt.InlineData(values=list(_side_by_side(rows, by, part, value, order))))
    y = alt.Y(f"{by}:N", title=None)
    colour = alt.Color(
        f"{part}:N",
        scale=alt.Scale(domain=list(order), range=list(_PARTS[: len(order)])),
        legend=alt.Legend(title=None, orient="bottom", columns=3, labelLimit=260),
    )
    layers = [
        base.mark_bar(height=26).encode(y=y, x=alt.X("from:Q", title=value.replace("_", " ")), x2="to:Q", color=colour),
        base.mark_text(color="white").encode(y=y, x="middle:Q", text="text:N"),
    ]
    drawn: alt.LayerChart = (
        alt.layer(*layers)
        .properties(title=alt.Title(title), width=560, height=alt.Step(40))
        .configure_view(stroke=None)
        .configure_axis(grid=False, labelColor=_INK, titleColor=_MUTED, labelLimit=260)
        .configure_title(anchor="start", color=_INK)
    )
    return drawn


def _side_by_side(
    rows: Sequence[Mapping[str, Any]], by: str, part: str, value: str, order: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Each part with where it begins and ends in its bar; its number only where it has room."""
    ends: dict[Any, float] = {}
    widest = max(sum(row[value] for row in rows if row[by] == group) for group in {row[by] for row in rows})
    for row in sorted(rows, key=lambda one: order.index(one[part])):
        start = ends.get(row[by], 0)
        ends[row[by]] = start + row[value]
        text = f"{row[value]:,}" if row[value] > widest / 16 else ""
        yield {**row, "from": start, "to": ends[row[by]], "middle": start + row[value] / 2, "text": text}


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """One sum, step by step."""

    title: str
    subtitle: str
    steps: Sequence[tuple[str, float, float]]  # what, from where, to where; the first begins at 0
    total: str  # what the sum is called
    marks: Mapping[str, float]  # lines to compare the sum with


def waterfalls(sums: Sequence[Waterfall]) -> alt.VConcatChart:
    """Waterfalls one below the other: what adds to the right, what takes to the left, and what it comes to."""
    if not sums:
        raise ChartError("there is nothing to draw: no link of it was weighed, keys and persons decided")
    drawn: alt.VConcatChart = (
        alt.vconcat(*(_waterfall(one) for one in sums), spacing=36)
        .configure_view(stroke=None)
        .configure_axis(grid=False, labelColor=_INK, titleColor=_MUTED, labelLimit=260, titleFontWeight="normal")
        .configure_title(anchor="start", color=_INK, subtitleColor=_MUTED, frame="group")
    )
    return drawn


def _waterfall(one: Waterfall) -> alt.LayerChart | alt.FacetChart:
    end = one.steps[-1][2] if one.steps else 0.0
    shown: list[dict[str, Any]] = [
        *({"what": what, "from": a, "to": b, "sign": "adds" if b >= a else "takes"} for what, a, b in one.steps),
        {"what": one.total, "from": 0.0, "to": end, "sign": "sum"},
    ]
    for row in shown:
        row |= {"text": f"{row['to'] - row['from']:+.2f}", "edge": max(row["from"], row["to"])}
    places = [value for row in shown for value in (row["from"], row["to"])]
    low, high = min(0.0, *places, *one.marks.values()), max(0.0, *places, *one.marks.values())
    scale = alt.Scale(domain=[low - (high - low) * 0.02, high + (high - low) * 0.12], nice=False)
    y = alt.Y("what:N", sort=None, title=None, axis=alt.Axis(ticks=False, domain=False))
    base = alt.Chart(alt.InlineData(values=shown))
    colour = alt.Color(
        "sign:N", scale=alt.Scale(domain=["adds", "takes", "sum"], range=[_BAR, _TAKES, _INK]), legend=None
    )
    x = alt.X("from:Q", scale=scale, title="weight: logarithm of the odds that the two are one")
    layers: list[alt.Chart] = [
        *_marks(one.marks, scale),
        base.mark_bar(size=15).encode(y=y, x=x, x2="to:Q", color=colour),
        base.mark_text(align="left", dx=5, color=_INK).encode(y=y, x=alt.X("edge:Q", scale=scale), text="text:N"),
    ]
    title = alt.Title(one.title, subtitle=one.subtitle)
    return alt.layer(*layers).properties(title=title, width=560, height=alt.Step(24))


def _marks(marks: Mapping[str, float], scale: alt.Scale) -> Iterator[alt.Chart]:
    """Dashed lines with their names above, those of the lower half to the left of it; and the line of 0."""
    zero = alt.Chart(alt.InlineData(values=[{"at": 0.0}]))
    yield zero.mark_rule(color=_MUTED, strokeWidth=1).encode(x=alt.X("at:Q", scale=scale))
    ordered = sorted(marks.items(), key=lambda mark: mark[1])
    for number, (name, value) in enumerate(ordered):
        base = alt.Chart(alt.InlineData(values=[{"name": f"{name} {value:+.2f}", "at": value}]))
        at = base.encode(x=alt.X("at:Q", scale=scale))
        yield at.mark_rule(color=_MUTED, strokeDash=[4, 3])
        align: Literal["left", "right"] = "right" if 2 * number + 1 < len(ordered) else "left"
        text = at.mark_text(align=align, baseline="bottom", color=_MUTED, dy=-4)
        yield text.encode(y=alt.value(0), text="name:N")


def save(chart: alt.LayerChart | alt.VConcatChart, path: Path) -> None:
    """Write in the format the file name ends with."""
    if path.suffix not in FORMATS:
        raise ChartError(f"{path.name}: the name must end with one of {', '.join(FORMATS)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    spec = chart.to_json()
    if path.suffix == ".svg":
        path.write_text(vl_convert.vegalite_to_svg(spec), encoding="utf-8")
    else:
        path.write_bytes(vl_convert.vegalite_to_png(spec, scale=_PNG_SCALE))
