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
    in_bulk: bool = False  # a row of a Bulk job: no assignment rule looks at it
    keeps_team: bool = False  # an owner change leaves the account team in place
    moves_opportunities: bool | None = None  # an owner change takes open opportunities along; None = as the org is set


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Status, body (None = empty) and headers. The body is JSON unless another media type is named; then it is text."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = ""
