"""One call of the sandbox Salesforce and its answer, apart from HTTP: a composite call contains further ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox.faults import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call of a data resource by a known user."""

    method: str
    path: str  # below /services/data/vNN.N, without slashes at the ends
    base: str  # /services/data/vNN.N
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)  # lower-case names
    body: Any = None
    user: str = ""
    client: str = ""
    request: int = 0
    faults: Sequence[Fault] = ()
    in_composite: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Status, body (None = empty) and headers."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
