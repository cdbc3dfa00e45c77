"""HTTP of the sandbox Salesforce: login, session, limits and versions around the data resources."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from sandbox.gate import parsed_body
from sandbox.packing import packed
from sandbox.salesforce.api import VERSIONS, Api
from sandbox.salesforce.auth import OAuthError, grant, identity, user_of
from sandbox.salesforce.calls import Call, Reply
from sandbox.salesforce.errors import ApiError, not_found
from sandbox.salesforce.soap import Soap, fault, read_envelope
from sandbox.world import World

MAX_URL = 16_384
_METHODS = ["GET", "POST", "PATCH", "PUT", "DELETE"]
_CLIENT = re.compile(r"client\s*=\s*([^,;\s]+)")


def routes(world: World) -> list[BaseRoute]:
    """The routes under /services and /id."""
    http = _Http(world)
    return [
        Route("/services/oauth2/token", http.token, methods=["POST"]),
        Route("/services/oauth2/revoke", http.revoke, methods=["POST"]),
        Route("/services/oauth2/userinfo", http.userinfo, methods=["GET", "POST"]),
        Route("/id/{org}/{user}", http.userinfo, methods=["GET"]),
        Route("/services/Soap/u/{version}", http.soap, methods=["POST"]),
        Route("/services/Soap/u/{version}/{org}", http.soap, methods=["POST"]),
        Route("/services/data", http.versions, methods=["GET"]),
        Route("/services/data/", http.versions, methods=["GET"]),
        Route("/services/data/v{version}", http.data, methods=_METHODS),
        Route("/services/data/v{version}/{path:path}", http.data, methods=_METHODS),
    ]


class _Http:
    def __init__(self, world: World) -> None:
        self._world = world
        self._api: Api | None = None

    async def token(self, request: Request) -> Response:
        """Log in."""
        form = parsed_body(await request.body(), "application/x-www-form-urlencoded") or {}
        try:
            body = grant(self._world, form, request.headers.get("authorization", ""), _base_url(request))
        except OAuthError as error:
            return JSONResponse({"error": error.error, "error_description": error.description}, 400)
        return JSONResponse(body, headers={"Cache-Control": "no-cache, no-store"})

    async def revoke(self, request: Request) -> Response:
        """Log out."""
        form = parsed_body(await request.body(), "application/x-www-form-urlencoded") or {}
        with self._world.lock:
            known = self._world.salesforce_tokens.pop(str(form.get("token")), None)
        if known is None:
            return JSONResponse(
                {"error": "unsupported_token_type", "error_description": "this token is not known"}, 400
            )
        return Response(status_code=200)

    async def userinfo(self, request: Request) -> Response:
        """Who the session belongs to."""
        user = user_of(self._world, request.headers.get("authorization", ""))
        if user is None:
            return Response("Bad_OAuth_Token", 403, media_type="text/html")
        return JSONResponse(identity(self._world, user, _base_url(request)))

    async def versions(self, _: Request) -> Response:
        """The API versions of the org; needs no session and costs no call."""
        listed = [{"label": f"Release {v}", "url": f"/services/data/v{v}", "version": v} for v in VERSIONS]
        return JSONResponse(listed)

    async def data(self, request: Request) -> Response:
        """A data resource."""
        if len(request.url.path) + len(request.url.query) > MAX_URL:
            return Response("<h1>Bad Message 414</h1><pre>reason: URI Too Long</pre>", 414, media_type="text/html")
        raw = await request.body()
        return await run_in_threadpool(self._answer, request, raw)

    async def soap(self, request: Request) -> Response:
        """A call of the partner SOAP API."""
        raw = await request.body()
        return await run_in_threadpool(self._soap_answer, request, raw)

    def _soap_answer(self, request: Request, raw: bytes) -> Response:
        """Refusals are faults with status 500, a dead session too; the token comes in the envelope alone."""
        try:
            if "soapaction" not in request.headers:
                raise ApiError("UNKNOWN_EXCEPTION", "SOAPAction HTTP header missing")
            envelope = read_envelope(raw)
            user = self._admitted(f"Bearer {envelope.session}")
            call = Call(
                method="POST",
                path="soap",
                base=f"/services/data/v{request.path_params['version']}",
                user=user,
                client=envelope.client or str(request.headers.get("user-agent", "")),
                request=request.state.request_seq,
                faults=request.state.faults,
            )
            api = self._made()
            body, status = Soap(self._world, api.schema, api.writer).update(call, envelope), 200
        except ApiError as error:
            body, status = fault(error), 500
        return Response(body, status, media_type="text/xml;charset=UTF-8")

    def _answer(self, request: Request, raw: bytes) -> Response:
        try:
            user = self._admitted(request.headers.get("authorization", ""))
            reply = self._handled(_call(request, raw, user))
        except ApiError as error:
            reply = Reply(status=error.status, body=error.envelope())
        return packed(self._response(reply), request.headers.get("accept-encoding", ""))

    def _admitted(self, authorization: str) -> str:
        """The user of the session. ApiError when there is none, or no call left today."""
        user = user_of(self._world, authorization)
        if user is None:
            raise ApiError("INVALID_SESSION_ID", "Session expired or invalid", status=401)
        with self._world.lock:
            if self._world.salesforce_calls >= self._world.settings.daily_limit:
                raise ApiError("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", status=403)
            self._world.salesforce_calls += 1
        return user

    def _handled(self, call: Call) -> Reply:
        if call.base.rpartition("/v")[2] not in VERSIONS:
            raise not_found()
        return self._made().handle(call)

    def _made(self) -> Api:
        with self._world.lock:
            # Made on the first call: tests add fields and value lists to the settings after the server has started.
            self._api = self._api or Api(self._world)
        return self._api

    def _response(self, reply: Reply) -> Response:
        used, most = self._world.salesforce_calls, self._world.settings.daily_limit
        headers = {**reply.headers, "Sforce-Limit-Info": f"api-usage={used}/{most}"}
        if reply.body is None and reply.status in (201, 204, 304):
            return Response(status_code=reply.status, headers=headers)
        if reply.media_type:
            return Response(reply.body, reply.status, headers, media_type=reply.media_type)
        return JSONResponse(reply.body, reply.status, headers, media_type="application/json;charset=UTF-8")


def _call(request: Request, raw: bytes, user: str) -> Call:
    headers = {name.lower(): value for name, value in request.headers.items()}
    content_type = headers.get("content-type", "")
    plain = content_type.startswith(("text/csv", "multipart/"))
    if raw and not plain and isinstance(parsed_body(raw, content_type), str):
        raise ApiError("JSON_PARSER_ERROR", "The request body is not valid JSON")
    version = request.path_params["version"]
    return Call(
        method=request.method,
        path=request.path_params.get("path", "").strip("/"),
        base=f"/services/data/v{version}",
        query=dict(request.query_params),
        headers=headers,
        body=parsed_body(raw, content_type),
        user=user,
        client=_client(headers),
        request=request.state.request_seq,
        faults=request.state.faults,
    )


def _client(headers: Mapping[str, Any]) -> str:
    named = _CLIENT.search(headers.get("sforce-call-options", ""))
    return named.group(1) if named else str(headers.get("user-agent", ""))


def _base_url(request: Request) -> str:
    return f"{request.url.scheme}://{request.headers['host']}"
