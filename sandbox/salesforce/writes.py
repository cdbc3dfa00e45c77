"""Row writes: what the API does to a record, and what the org's own automation does behind it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sandbox.faults import Verb
from sandbox.salesforce.calls import Call
from sandbox.salesforce.errors import ApiError, deleted, malformed_id, not_found
from sandbox.salesforce.ids import id18, is_id
from sandbox.salesforce.schema import Schema
from sandbox.salesforce.validate import checked, require, resolved
from sandbox.world import Change, Record, World

_DEFAULTS: dict[str, dict[str, Any]] = {
    "AccountTeamMember": {
        "AccountAccessLevel": "Read",
        "OpportunityAccessLevel": "None",
        "CaseAccessLevel": "None",
        "ContactAccessLevel": "None",
    }
}
"""What a new record has where nothing is said."""


class Writer:
    """Creates, updates and deletes rows of one world on behalf of a call."""

    def __init__(self, world: World, schema: Schema) -> None:
        self._world = world
        self._schema = schema
        self._attempts: Counter[str] = Counter()
        self._claims: dict[str, int] = {}  # parent account -> number of the request that is writing below it

    @contextmanager
    def claim(self, call: Call, record_ids: Iterable[str]) -> Iterator[None]:
        """Hold the parents of records for the time of a request, as row locks on them would."""
        if not self._world.settings.lock_parents:
            yield
            return
        with self._world.lock:
            families = {self._family(id18(record_id)) for record_id in record_ids} - self._claims.keys()
            self._claims.update(dict.fromkeys(families, call.request))
        try:
            yield
        finally:
            with self._world.lock:
                for family in families:
                    del self._claims[family]

    def existing(self, object_name: str, record_id: str) -> Record:
        """The committed record. ApiError when the id is malformed, unknown, or its record deleted."""
        if not is_id(record_id):
            raise malformed_id(f"{object_name} ID", record_id, "Id")
        record = self._world.table("salesforce", object_name).get(id18(record_id))
        if record is None:
            raise not_found()
        if record["IsDeleted"]:
            raise deleted()
        return record

    def matching(self, object_name: str, key: str, value: Any) -> str | None:
        """The id of the one live record with a value in an external id field; None when there is none."""
        if value in (None, ""):
            raise ApiError("MISSING_ARGUMENT", f"{key} not specified")
        rows = self._world.table("salesforce", object_name).values()
        found = [str(row["Id"]) for row in rows if row.get(key) == value and not row["IsDeleted"]]
        if len(found) > 1:
            raise ApiError("DUPLICATE_EXTERNAL_ID", f"{key}: {len(found)} records have this value", fields=[key])
        return found[0] if found else None

    def update(self, call: Call, object_name: str, record_id: str, given: Mapping[str, Any]) -> Record:
        """Write the given fields and give the record as it stands afterwards. Nothing is written when it raises."""
        values = resolved(self._schema, object_name, given)
        record = self.existing(object_name, record_id)
        fields = checked(self._world, object_name, record, values)
        require(self._schema, object_name, fields, creating=False)
        self._meet_locks(call, record["Id"])
        changes = self._set(call, object_name, record["Id"], fields, source="API")
        self._automation(call, object_name, record["Id"], changes)
        self._world.emit("after_write", "salesforce", object_name, [record["Id"]], fields)
        return self._world.table("salesforce", object_name)[record["Id"]]

    def create(self, call: Call, object_name: str, given: Mapping[str, Any]) -> str:
        """Make a record and return its id."""
        values = resolved(self._schema, object_name, given)
        fields = checked(self._world, object_name, None, values)
        if self._schema.field(object_name, "OwnerId"):
            fields.setdefault("OwnerId", call.user)
        require(self._schema, object_name, fields, creating=True)
        if self._world.settings.contacts_follow_account and "ContactAccessLevel" in fields:
            text = "Unable to create/update fields: ContactAccessLevel. Contacts are controlled by their account."
            raise ApiError("INVALID_FIELD_FOR_INSERT_UPDATE", text, fields=["ContactAccessLevel"])
        if object_name == "AccountTeamMember" and (member := self._member(fields)):
            return str(self.update(call, object_name, member, _changeable(fields))["Id"])
        fields = {**_DEFAULTS.get(object_name, {}), **fields}
        stamp = {"by": call.user, "source": "API", "client": call.client, "request": call.request}
        record_id = self._world.insert("salesforce", object_name, fields, **stamp)  # type: ignore[arg-type]  # all of one call
        self._automation(call, object_name, record_id, [])
        self._world.emit("after_write", "salesforce", object_name, [record_id], fields)
        return record_id

    def delete(self, call: Call, object_name: str, record_id: str) -> str:
        """Move a record to the recycle bin and return its id."""
        record = self.existing(object_name, record_id)
        self._meet_locks(call, record["Id"])
        self._set(call, object_name, record["Id"], {"IsDeleted": True}, source="API")
        return str(record["Id"])

    def _set(
        self, call: Call, object_name: str, record_id: str, fields: Mapping[str, Any], *, source: str
    ) -> list[Change]:
        return self._world.set_fields(
            "salesforce",
            object_name,
            record_id,
            fields,
            by=call.user,
            source=source,
            client=call.client,
            request=call.request,
        )

    def _meet_locks(self, call: Call, record_id: str) -> None:
        """Refuse a row that a fault, or the seeded rule of the settings, declares locked."""
        named = [fault for fault in call.faults if fault.verb is Verb.LOCK_ROW]
        locked = any(not fault.ids or record_id in map(id18, fault.ids) for fault in named)
        locked = locked or self._claims.get(self._family(record_id), call.request) != call.request
        chance = self._world.settings.lock_probability
        if chance:
            self._attempts[record_id] += 1
            draw = random.Random(f"lock:{self._world.seed}:{record_id}:{self._attempts[record_id]}").random()
            locked = locked or draw < chance
        self._meet_partial(call, record_id)
        refusal = self._world.settings.row_refusals.get(record_id)
        if refusal:
            raise ApiError(refusal, "The sandbox was told to refuse this record.")
        if locked:
            text = f"unable to obtain exclusive access to this record or 1 records: {record_id}"
            raise ApiError("UNABLE_TO_LOCK_ROW", text)

    def _meet_partial(self, call: Call, record_id: str) -> None:
        """Refuse a row that a fault picks: the ones it names, else the first of the request."""
        for place, fault in enumerate(call.faults):
            key = f"partial:{call.request}:{place}"
            meant = record_id in map(id18, fault.ids) if fault.ids else True
            if fault.verb is Verb.PARTIAL and meant and not 0 < fault.rows <= self._attempts[key]:
                self._attempts[key] += 1
                raise ApiError(fault.code, "The sandbox was told to refuse this row.")

    def _family(self, record_id: str) -> str:
        """The parent account a write to a record locks; the record itself when it has none."""
        record = self._world.table("salesforce", "Account").get(record_id, {})
        return str(record.get("ParentId") or record_id)

    def _automation(self, call: Call, object_name: str, record_id: str, changes: list[Change]) -> None:
        """What happens behind a write: the assignment rule, flows, and the end of the account team."""
        settings = self._world.settings
        done = list(changes)
        if self._rule_applies(call, object_name):
            owner = settings.assignment_rule_user or self._first_user()
            done += (
                self._set(call, object_name, record_id, {"OwnerId": owner}, source="ASSIGNMENT_RULE") if owner else []
            )
        if object_name == "Account" and settings.trigger_rewrite:
            done += self._set(call, object_name, record_id, settings.trigger_rewrite, source="FLOW")
        moves = [change for change in done if change.field == "OwnerId"]
        if object_name == "Account" and moves:
            self._follow(call, record_id, moves[0].old, moves[-1].new)

    def _rule_applies(self, call: Call, object_name: str) -> bool:
        wanted = call.headers.get("sforce-auto-assign", "TRUE").strip().upper() != "FALSE"
        looked_at = object_name in self._world.settings.assignment_objects and not call.in_bulk
        return self._world.settings.assignment_rule and wanted and looked_at

    def _first_user(self) -> str | None:
        users = self._world.table("salesforce", "User").values()
        able = [u["Id"] for u in users if u.get("IsActive", True) and u["Id"] != self._world.integration_user]
        return min(able, default=None)

    def _follow(self, call: Call, account_id: str, old: str, new: str) -> None:
        """What an owner change of an account does to its team, its open opportunities and its contacts."""
        settings = self._world.settings
        self._drop_team(call, account_id, kept=call.keeps_team or settings.keep_account_team)
        asked = call.moves_opportunities
        if settings.cascade_open_opportunities if asked is None else asked:
            self._hand_over(call, "Opportunity", account_id, old, new)
        if settings.cascade_contacts:
            self._hand_over(call, "Contact", account_id, old, new)

    def _drop_team(self, call: Call, account_id: str, *, kept: bool) -> None:
        """Delete the members; of a team that is kept only those whom the seeded switch drops."""
        chance = self._world.settings.team_drop_probability if kept else 1.0
        for member in list(self._world.table("salesforce", "AccountTeamMember").values()):
            if member.get("AccountId") != account_id or member["IsDeleted"]:
                continue
            if random.Random(f"team:{self._world.seed}:{member['Id']}").random() < chance:
                self._set(call, "AccountTeamMember", member["Id"], {"IsDeleted": True}, source="OWNER_CHANGE")

    def _hand_over(self, call: Call, object_name: str, account_id: str, old: str, new: str) -> None:
        """Give the records of an account that its old owner owns to the new one; closed opportunities stay."""
        for record in list(self._world.table("salesforce", object_name).values()):
            mine = record.get("AccountId") == account_id and record.get("OwnerId") == old and not record["IsDeleted"]
            if mine and not str(record.get("StageName", "")).startswith("Closed"):
                self._set(call, object_name, record["Id"], {"OwnerId": new}, source="OWNER_CHANGE")

    def _member(self, fields: Mapping[str, Any]) -> str | None:
        """The id of the live team member for the same account and user: there is never a second one."""
        for member in self._world.table("salesforce", "AccountTeamMember").values():
            same = all(member.get(name) == fields.get(name) for name in ("AccountId", "UserId"))
            if same and not member["IsDeleted"]:
                return str(member["Id"])
        return None


def _changeable(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in ("AccountId", "UserId")}
