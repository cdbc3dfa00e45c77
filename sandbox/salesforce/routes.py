"""The routes of the sandbox Salesforce."""

from __future__ import annotations

from starlette.routing import BaseRoute

from sandbox.world import World


def routes(world: World) -> list[BaseRoute]:
    """The routes under /services and /id."""
    return []
