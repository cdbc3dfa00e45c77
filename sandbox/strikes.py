"""Faults that change the world when they strike: tokens, addresses, fields, the clock, and persons at work."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from sandbox.faults import Fault, Verb
from sandbox.world import World

_SALESFORCE_ID = re.compile(r"\b001[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?\b")
_HUBSPOT_ID = re.compile(r'"id"\s*:\s*"(\d+)"')


def strike(world: World, fault: Fault, system: str, request: str) -> None:
    """Let a fault change the world; nothing for a fault of another kind. `request` is path and body, to find ids in."""
    step = _STEPS.get(fault.verb)
    if step is not None:
        with world.lock:
            step(world, fault, system, request)


def _expire(world: World, _: Fault, system: str, __: str) -> None:
    tokens: Any = world.salesforce_tokens if system == "salesforce" else world.hubspot_tokens
    tokens.clear()


def _revoke(world: World, fault: Fault, system: str, request: str) -> None:
    _expire(world, fault, system, request)
    world.refused_logins.add(system)


def _rotate(world: World, fault: Fault, _: str, request: str) -> None:
    _expire(world, fault, "salesforce", request)
    world.instance_moves += 1


def _change_schema(world: World, fault: Fault, _: str, __: str) -> None:
    kind = {Verb.DROP_FIELD: "drop", Verb.RENAME_FIELD: "rename", Verb.TYPE_CHANGE: "retype"}[fault.verb]
    world.schema_changes.append((kind, fault.field, fault.to))
    if kind == "rename":
        for record in world.table("salesforce", "Account").values():
            if fault.field in record:
                record[fault.to] = record.pop(fault.field)


def _rewrite(world: World, fault: Fault, _: str, __: str) -> None:
    world.settings.trigger_rewrite = dict(fault.fields)


def _skew(world: World, fault: Fault, _: str, __: str) -> None:
    clock, ahead = world.now, timedelta(seconds=fault.seconds)
    world.now = lambda: clock() + ahead


def _edit(world: World, fault: Fault, system: str, request: str) -> None:
    for record_id in _meant(world, fault, system, request):
        world.human_edit(system, _object(system), record_id, fault.fields, by=_person(world, fault, system))


def _delete(world: World, fault: Fault, system: str, request: str) -> None:
    for record_id in _meant(world, fault, system, request):
        world.delete(system, _object(system), record_id, by=_person(world, fault, system))


def _merge(world: World, fault: Fault, system: str, request: str) -> None:
    losers = [one for one in _meant(world, fault, system, request) if one != fault.to]
    world.merge_accounts(fault.to, losers, by=_person(world, fault, system))


def _meant(world: World, fault: Fault, system: str, request: str) -> list[str]:
    """The records named by the fault, else by the request; only such as there are."""
    found = fault.ids or (_SALESFORCE_ID if system == "salesforce" else _HUBSPOT_ID).findall(request)
    table = world.table(system, _object(system))
    return [one for one in dict.fromkeys(found) if world.get(system, _object(system), one) is not None and table]


def _object(system: str) -> str:
    return "Account" if system == "salesforce" else "companies"


def _person(world: World, fault: Fault, system: str) -> str:
    if fault.by:
        return fault.by
    if system == "hubspot":
        return "1"
    others = [one for one in world.table("salesforce", "User") if one != world.integration_user]
    return min(others, default=world.integration_user)


_STEPS: dict[Verb, Callable[[World, Fault, str, str], None]] = {
    Verb.EXPIRE_TOKEN: _expire,
    Verb.REVOKE_TOKEN: _revoke,
    Verb.ROTATE_INSTANCE_URL: _rotate,
    Verb.DROP_FIELD: _change_schema,
    Verb.RENAME_FIELD: _change_schema,
    Verb.TYPE_CHANGE: _change_schema,
    Verb.TRIGGER_REWRITE: _rewrite,
    Verb.CLOCK_SKEW: _skew,
    Verb.HUMAN_EDIT: _edit,
    Verb.HUMAN_DELETE: _delete,
    Verb.HUMAN_MERGE: _merge,
}
