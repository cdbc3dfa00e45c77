"""Makes custom company properties: the one change of a portal's schema that Platbook can be asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from connectors.errors import Fatal
from connectors.hubspot.responses import SYSTEM, row_errors
from connectors.hubspot.session import HubSpotSession
from connectors.hubspot.transport import Call

GROUP = "companyinformation"
"""Group of HubSpot's own company properties; every portal has it."""

_BATCH = 100


def create_properties(
    session: HubSpotSession, wanted: Sequence[Mapping[str, Any]], *, stamp: str, before_send: Callable[[], None]
) -> tuple[str, ...]:
    """Make the properties (name, label, type, fieldType, options, description); the names that are there afterwards.

    A property that exists already is left as it is. Raises Fatal where the token may not change the schema.
    """
    create = session.client.crm.properties.batch_api.create
    made: set[str] = set()
    for start in range(0, len(wanted), _BATCH):
        part = [{**one, "groupName": GROUP} for one in wanted[start : start + _BATCH]]
        call = Call(route="POST /properties/companies/batch/create", write=True, stamp=stamp)
        answer = session.write(call, before_send, create, "companies", {"inputs": part})
        made |= {str(one["name"]) for one in answer.get("results", ())}
        refused = [one for one in row_errors(answer) if "already exists" not in one.message]
        if refused:
            raise Fatal(
                f"HubSpot refused a property: {refused[0].message}. The token needs crm.schemas.companies.write",
                system=SYSTEM,
                code=refused[0].code or "PROPERTY_REFUSED",
            )
    return tuple(sorted(made))
