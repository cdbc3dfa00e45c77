"""A small agreed layout and a way to write deliveries of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from connectors.csv_feed.contract import ColumnRule, FeedContract

HEADER = ("Definitive ID", "Hospital Name", "Phone", "IDN ID", "IDN", "Beds", "Medicare", "Medicaid", "Other", "Seen")


@pytest.fixture
def contract() -> FeedContract:
    text, formats = (
        ("Hospital Name", "Phone", "IDN"),
        {"Medicare": "percent", "Medicaid": "percent", "Other": "percent"},
    )
    formats |= {"Definitive ID": "id", "IDN ID": "id", "Beds": "integer", "Seen": "date"}
    formats |= dict.fromkeys(text, "text")
    return FeedContract(
        feed="test",
        columns=tuple(ColumnRule(names=(name,), format=formats[name]) for name in HEADER),
        key=("Definitive ID",),
        percent_groups=(("Medicare", "Medicaid", "Other"),),
    )


def hospital(number: int) -> list[str]:
    """One good row: ten systems, shares that sum to 100 %."""
    system = number % 10
    return [
        str(100_000 + number),
        f"Hospital {number}",
        "+1 (970) 842-6200",
        str(700 + system),
        f"System {system}",
        str(20 + number),
        "48.2%",
        "16.6%",
        "35.2%",
        "2022-06-07",
    ]


@pytest.fixture
def rows() -> list[list[str]]:
    return [hospital(number) for number in range(60)]


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(rows: Sequence[Sequence[str]], *, header: Sequence[str] = HEADER, name: str = "delivery.csv") -> Path:
        path = tmp_path / name
        lines = [",".join(header), *(",".join(cells) for cells in rows)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
        return path

    return write
