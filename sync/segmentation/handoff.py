"""The note that goes along when marketing hands an account over: stage, topics, and why it is where it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mappings.expressions import All, Any_, AtLeast, Compare, Expr, Not, Ref, parse
from mappings.insight_policy import SegmentPolicy

_SIGNS = {"gt": "above", "gte": "at least", "lt": "below", "lte": "at most"}


def handoff(row: Mapping[str, Any], policy: SegmentPolicy) -> str:
    """The note for a row of PROFILES; empty where the account is in no segment and did nothing of late."""
    return "; ".join(_parts(row, policy))


def _parts(row: Mapping[str, Any], policy: SegmentPolicy) -> Iterator[str]:
    segment = next((one for one in policy.segments if one.id == row["segment"]), None)
    if segment is not None and segment.stage:
        yield f"stage {segment.stage}"
    if row["intent_path"]:
        yield "ready for sales" if row["intent_path"] == "SALES" else "to be nurtured"
    if row["topics"]:
        yield f"engaged with {row['topics']}"
    if segment is not None:
        yield f"in {segment.id} because {in_words(parse(segment.include))}"
        if segment.topics:
            yield f"talk about {', '.join(segment.topics)}"
    if row["committee_missing"]:
        yield f"nobody known as {row['committee_missing'].replace(',', ', ')}"


def in_words(expr: Expr) -> str:
    """An expression as a person would say it."""
    match expr:
        case Compare(op="eq", field=field, value=value):
            return f"{field} is {_shown(value)}"
        case Compare(op="in", field=field, value=tuple(values)):
            return f"{field} is {' or '.join(_shown(value) for value in values)}"
        case Compare(op=op, field=field, value=value):
            return f"{field} is {_SIGNS[op]} {_shown(value)}"
        case Ref(name):
            return name
        case Not(item):
            return f"not ({in_words(item)})"
        case All(items):
            return " and ".join(in_words(item) for item in items)
        case Any_(items):
            return " or ".join(in_words(item) for item in items)
        case AtLeast(k, items):
            return f"{k} of: {', '.join(in_words(item) for item in items)}"


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
