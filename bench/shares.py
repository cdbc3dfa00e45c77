"""Shares with their 95 % interval (Wilson)."""

from __future__ import annotations

import math

_Z = 1.96


def share(part: int, whole: int) -> str:
    """A share with its interval and the counts."""
    if not whole:
        return "-"
    low, high = interval(part, whole)
    return f"{part / whole:.4f} ({low:.4f}-{high:.4f}; {part:,}/{whole:,})"


def interval(part: int, whole: int) -> tuple[float, float]:
    """Lower and upper bound of a share."""
    p = part / whole
    middle, half = p + _Z * _Z / (2 * whole), _Z * math.sqrt(p * (1 - p) / whole + _Z * _Z / (4 * whole * whole))
    return (middle - half) / (1 + _Z * _Z / whole), min((middle + half) / (1 + _Z * _Z / whole), 1.0)
