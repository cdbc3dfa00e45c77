"""The outside view on the sandbox, on a port of its own: what really happened, and hands to make things happen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from sandbox.faults import Fault, Verb
from sandbox.world import World


def oracle(world: World, mails: Callable[[], Any]) -> Starlette:
    """The application. `mails` gives the mail sink, or None."""
    view = _Oracle(world, mails)
    return Starlette(
        routes=[
            Route("/history", view.history, methods=["GET"]),
            Route("/requests", view.requests, methods=["GET"]),
            Route("/mails", view.mails, methods=["GET"]),
            Route("/record/{system}/{object}/{id}", view.record, methods=["GET"]),
            Route("/edit", view.edit, methods=["POST"]),
            Route("/fault", view.fault, methods=["POST"]),
            Route("/reset-requests", view.reset_requests, methods=["POST"]),
        ]
    )


class _Oracle:
    def __init__(self, world: World, mails: Callable[[], Any]) -> None:
        self._world = world
        self._mails = mails

    async def history(self, request: Request) -> JSONResponse:
        """Changes after sequence number `since`, of one `system` when named."""
        since, system = _since(request), request.query_params.get("system", "")
        with self._world.lock:
            changes = [c for c in self._world.history if c.seq > since and system in ("", c.system)]
        return JSONResponse([_plain(asdict(change)) for change in changes])

    async def requests(self, request: Request) -> JSONResponse:
        """Requests after sequence number `since`, of one `system` when named, in the order they arrived."""
        since, system = _since(request), request.query_params.get("system", "")
        with self._world.lock:
            found = [r for r in self._world.requests if r.seq > since and system in ("", r.system)]
        return JSONResponse([_plain(asdict(r)) for r in sorted(found, key=lambda r: r.seq)])

    async def mails(self, _: Request) -> JSONResponse:
        """Mails received so far, as the sink keeps them."""
        sink = self._mails()
        return JSONResponse([] if sink is None else [_mail(message) for message in sink.messages])

    async def record(self, request: Request) -> JSONResponse:
        """One record as readers see it now."""
        params = request.path_params
        record = self._world.get(params["system"], params["object"], params["id"])
        if record is None:
            raise HTTPException(404, f"the sandbox has no {params['system']} {params['object']} {params['id']}")
        return JSONResponse(record)

    async def edit(self, request: Request) -> JSONResponse:
        """A person's edit: {system, object, record_id, fields, by, source?}."""
        given = await request.json()
        try:
            target = given["system"], given["object"], given["record_id"], given["fields"]
            changes = self._world.human_edit(*target, by=given["by"], source=given.get("source", "CRM_UI"))
        except KeyError as error:
            raise HTTPException(400, f"edit lacks {error}, or names a record the sandbox does not have") from error
        return JSONResponse([_plain(asdict(change)) for change in changes])

    async def fault(self, request: Request) -> JSONResponse:
        """Put a fault in force: the fields of sandbox.faults.Fault; {"clear": true} first takes all others out."""
        given = await request.json()
        if given.pop("clear", False):
            self._world.faults.clear()
        if given:
            try:
                given["verb"], given["ids"] = Verb(given["verb"]), tuple(given.get("ids", ()))
                self._world.faults.add(Fault(**given))
            except (KeyError, TypeError, ValueError) as error:
                raise HTTPException(400, f"fault not understood: {error}") from error
        return JSONResponse({"ok": True})

    async def reset_requests(self, _: Request) -> JSONResponse:
        """Empty the request log; numbering goes on."""
        with self._world.lock:
            self._world.requests.clear()
        return JSONResponse({"ok": True})


def _since(request: Request) -> int:
    return int(request.query_params.get("since", "0"))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


def _mail(message: Any) -> Any:
    """The sink's own JSON form where it has one."""
    return message if isinstance(message, dict) else message.as_dict() if hasattr(message, "as_dict") else str(message)
