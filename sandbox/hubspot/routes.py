"""The routes of the sandbox HubSpot, under the numbered paths of its client library and under the dated ones."""

from __future__ import annotations

import functools
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.faults import Fault, Verb
from sandbox.gate import parsed_body
from sandbox.hubspot import batches, catalogue, links, objects
from sandbox.hubspot.calls import Call, Reply
from sandbox.hubspot.errors import Refused, invalid
from sandbox.hubspot.portal import Portal, TooMany
from sandbox.hubspot.search import search
from sandbox.packing import packed
from sandbox.world import World

Handler = Callable[[Call], Reply]

MOST_URL_CHARACTERS = 16_384
DATED_VERSIONS = ("2026-03", "2026-09")

OBJECTS: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "", objects.list_records),
    ("POST", "", objects.create_record),
    ("POST", "/search", search),
    ("POST", "/merge", objects.merge_records),
    ("POST", "/batch/read", batches.read_batch),
    ("POST", "/batch/update", batches.update_batch),
    ("POST", "/batch/upsert", batches.upsert_batch),
    ("POST", "/batch/create", batches.create_batch),
    ("POST", "/batch/archive", batches.archive_batch),
    ("GET", "/{id}", objects.read_record),
    ("PATCH", "/{id}", objects.update_record),
    ("DELETE", "/{id}", objects.archive_record),
)
PROPERTIES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "", catalogue.list_properties),
    ("POST", "", catalogue.create_property),
    ("POST", "/batch/create", catalogue.create_properties),
    ("POST", "/batch/read", catalogue.read_properties),
    ("POST", "/batch/archive", catalogue.archive_properties),
    ("GET", "/groups", catalogue.list_groups),
    ("POST", "/groups", catalogue.create_group),
    ("GET", "/groups/{name}", catalogue.read_group),
    ("PATCH", "/groups/{name}", catalogue.update_group),
    ("DELETE", "/groups/{name}", catalogue.archive_group),
    ("GET", "/{name}", catalogue.read_property),
    ("PATCH", "/{name}", catalogue.update_property),
    ("DELETE", "/{name}", catalogue.archive_property),
)
ASSOCIATIONS: tuple[tuple[str, str, Handler], ...] = (
    ("POST", "/batch/create", links.create_links),
    ("POST", "/batch/associate/default", links.create_default_links),
    ("POST", "/batch/read", links.read_links),
    ("POST", "/batch/archive", links.archive_links),
    ("POST", "/batch/labels/archive", links.archive_labels),
)
LINKS: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/associations/{to}", links.list_links),
    ("PUT", "/associations/{to}/{to_id}", links.create_link),
    ("DELETE", "/associations/{to}/{to_id}", links.archive_link),
    ("PUT", "/associations/default/{to}/{to_id}", links.create_default_link),
)
OWNERS: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "", catalogue.list_owners),
    ("GET", "/", catalogue.list_owners),
    ("GET", "/{id}", catalogue.read_owner),
)


def routes(world: World) -> list[BaseRoute]:
    """The routes under /crm, /oauth and /account-info."""
    portal = Portal(world)
    families = [("/crm/v3/objects/{type}", OBJECTS), ("/crm/v3/properties/{type}", PROPERTIES)]
    families += [("/crm/v3/owners", OWNERS), ("/crm/v4/associations/{from}/{to}", ASSOCIATIONS)]
    for version in DATED_VERSIONS:
        families += [(f"/crm/objects/{version}/{{type}}", OBJECTS), (f"/crm/properties/{version}/{{type}}", PROPERTIES)]
        families += [(f"/crm/owners/{version}", OWNERS), (f"/crm/associations/{version}/{{from}}/{{to}}", ASSOCIATIONS)]
    made: list[BaseRoute] = [
        _route(portal, base + path, method, handler) for base, family in families for method, path, handler in family
    ]
    made += [_route(portal, "/crm/v4/objects/{from}/{id}" + path, method, handler) for method, path, handler in LINKS]
    made.append(_route(portal, "/account-info/v3/details", "GET", portal.details))
    made.append(_route(portal, "/account-info/v3/api-usage/daily/private-apps", "GET", portal.usage))
    made += [_route(portal, p, "POST", portal.give_token, is_open=True) for p in ("/oauth/v1/token", "/oauth/v3/token")]
    made.append(_route(portal, "/oauth/v1/access-tokens/{token}", "GET", portal.describe_token, is_open=True))
    private = "/oauth/v2/private-apps/get/access-token-info"
    made.append(_route(portal, private, "POST", portal.describe_private_token, is_open=True))
    unknown = functools.partial(_serve, portal, _no_such_route, True)
    return [*made, Route("/crm/{rest:path}", unknown, methods=["GET", "POST", "PATCH", "PUT", "DELETE"])]


def _route(portal: Portal, path: str, method: str, handler: Handler, *, is_open: bool = False) -> Route:
    return Route(path, functools.partial(_serve, portal, handler, is_open), methods=[method])


async def _serve(portal: Portal, handler: Handler, is_open: bool, request: Request) -> Response:
    """Let a request in, answer it, and give every refusal its envelope."""
    headers: dict[str, str] = {}
    try:
        if not is_open:
            headers = portal.admit(is_search=request.url.path.endswith("/search"))
            portal.check_token(request.headers.get("authorization", ""))
        call = await _call(portal.world, request)
        with portal.world.lock:
            reply = handler(call)
    except TooMany as refused:
        retry = {"Retry-After": str(refused.retry_after_s)} if portal.world.settings.retry_after_on_429 else {}
        return JSONResponse(refused.body(), refused.status, headers=retry)
    except Refused as refused:
        return JSONResponse(refused.body(), refused.status, headers=headers)
    if reply.body is None:
        return Response(status_code=reply.status, headers=headers | reply.headers)
    response = JSONResponse(reply.body, reply.status, headers=headers | reply.headers)
    return packed(response, request.headers.get("accept-encoding", ""))


async def _call(world: World, request: Request) -> Call:
    if len(request.url.path) + len(request.url.query) > MOST_URL_CHARACTERS:
        raise Refused(414, "VALIDATION_ERROR", "URI Too Long")
    content_type = request.headers.get("content-type", "")
    body = parsed_body(await request.body(), content_type)
    if isinstance(body, str):
        raise invalid("Invalid input JSON: the body is no JSON")
    state = request.scope.get("state", {})
    return Call(
        world=world,
        params=request.path_params,
        query=request.query_params,
        body=body,
        request=state.get("request_seq", 0),
        client=request.headers.get("user-agent", ""),
        locked=_locked(state.get("faults", ())),
    )


def _locked(faults: tuple[Fault, ...]) -> frozenset[str] | None:
    locks = [fault for fault in faults if fault.verb is Verb.LOCK_ROW]
    return frozenset(record_id for fault in locks for record_id in fault.ids) if locks else None


def _no_such_route(call: Call) -> Reply:
    raise Refused(404, "OBJECT_NOT_FOUND", f"no such route, or not with this method: /crm/{call.params['rest']}")
