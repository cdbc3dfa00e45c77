"""The data resources of the sandbox Salesforce: which path is answered by what."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

from sandbox.salesforce.bulk import Ingest
from sandbox.salesforce.bundles import Collections, Composite
from sandbox.salesforce.calls import Call, Reply
from sandbox.salesforce.errors import ApiError, not_found
from sandbox.salesforce.extracts import Extracts
from sandbox.salesforce.query import Queries
from sandbox.salesforce.rows import Rows, http_date
from sandbox.salesforce.schema import Schema
from sandbox.salesforce.writes import Writer
from sandbox.world import World

VERSIONS = ("58.0", "59.0", "60.0", "61.0", "62.0", "63.0", "64.0", "65.0")
METADATA_CHANGED_AT = datetime(2024, 1, 1, tzinfo=UTC)


class Api:
    """Everything under /services/data/vNN.N of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        schema = self.schema = Schema(world.settings.custom_fields, world.settings.picklists, world.schema_changes)
        writer = self.writer = Writer(world, schema)
        self._rows = Rows(world, schema, writer)
        self._queries = Queries(world, schema)
        self._collections = Collections(world, schema, self._rows, writer)
        self._composite = Composite(world, self.handle)
        self._ingest = Ingest(world, schema, writer)
        self._extracts = Extracts(world, self._queries)

    def handle(self, call: Call) -> Reply:
        """Answer a call. ApiError when it is refused."""
        head, *rest = call.path.split("/")
        if head in ("query", "queryAll") and call.method == "GET" and len(rest) <= 1:
            return self._queries.more(call, rest[0]) if rest else self._queries.start(call, resource=head)
        if head == "limits" and call.method == "GET" and not rest:
            return Reply(body=self._limits())
        if head == "sobjects":
            return self._sobjects(call, rest)
        if head == "jobs" and rest and not call.in_composite:
            return self._job(call, rest[0], rest[1:])
        if head == "composite":
            return self._bundle(call, rest)
        if not head and call.method == "GET":
            names = ("composite", "jobs", "limits", "query", "queryAll", "sobjects")
            return Reply(body={name: f"{call.base}/{name}" for name in names})
        raise not_found()

    def _limits(self) -> dict[str, dict[str, int]]:
        most = self._world.settings.daily_limit
        left = max(0, most - self._world.salesforce_calls)
        batches = self._world.settings.bulk_daily_batches
        used = self._world.salesforce_batches
        return {
            "DailyApiRequests": {"Max": most, "Remaining": left},
            "DailyBulkApiBatches": {"Max": batches, "Remaining": max(0, batches - used)},
            "DailyBulkV2QueryJobs": {"Max": 10_000, "Remaining": 10_000},
        }

    def _job(self, call: Call, kind: str, rest: list[str]) -> Reply:
        if kind == "ingest":
            return self._ingest.handle(call, rest)
        if kind == "query":
            return self._extracts.handle(call, rest)
        raise not_found()

    def _bundle(self, call: Call, rest: list[str]) -> Reply:
        if not rest and call.method == "POST":
            if call.in_composite:
                raise ApiError("INVALID_URL", "a composite request cannot contain another one")
            return self._composite.run(call)
        if rest == ["sobjects"] and call.method in ("PATCH", "POST"):
            return self._collections.write(call)
        if rest == ["sobjects"] and call.method == "DELETE":
            return self._collections.delete(call)
        if len(rest) == 3 and rest[0] == "sobjects" and call.method == "PATCH":
            return self._collections.upsert(call, self._object(rest[1]), rest[2])
        if len(rest) == 2 and rest[0] == "sobjects" and call.method in ("GET", "POST"):
            return self._collections.retrieve(call, self._object(rest[1]))
        raise not_found()

    def _sobjects(self, call: Call, rest: list[str]) -> Reply:
        if not rest:
            listed = [self.schema.summary(name, call.base) for name in self.schema.objects()]
            return Reply(body={"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": listed})
        name = self._object(rest[0])
        if len(rest) == 1:
            return self._collection(call, name)
        if rest[1:] == ["describe"] and call.method == "GET":
            return self._describe(call, name)
        if len(rest) == 2 and rest[1] in ("updated", "deleted") and call.method == "GET":
            return self._rows.replicated(call, name, rest[1])
        if len(rest) == 2:
            return self._row(call, name, rest[1])
        raise not_found()

    def _collection(self, call: Call, name: str) -> Reply:
        if call.method == "POST":
            return self._rows.create(call, name)
        if call.method == "GET":
            summary = self.schema.summary(name, call.base)
            return Reply(body={"objectDescribe": summary, "recentItems": []})
        raise _method_not_allowed(call)

    def _row(self, call: Call, name: str, record_id: str) -> Reply:
        steps = {"GET": self._rows.read, "PATCH": self._rows.update, "DELETE": self._rows.delete}
        if call.method not in steps:
            raise _method_not_allowed(call)
        return steps[call.method](call, name, record_id)

    def _describe(self, call: Call, name: str) -> Reply:
        headers = {"Last-Modified": format_datetime(METADATA_CHANGED_AT, usegmt=True)}
        since = call.headers.get("if-modified-since")
        if since is not None and http_date(since) >= METADATA_CHANGED_AT:
            return Reply(status=304, headers=headers)
        return Reply(body=self.schema.describe(name, call.base), headers=headers)

    def _object(self, name: str) -> str:
        found = self.schema.object_name(name)
        if found is None:
            raise not_found()
        return found


def _method_not_allowed(call: Call) -> ApiError:
    text = f"HTTP Method '{call.method}' not allowed."
    return ApiError("METHOD_NOT_ALLOWED", text, status=405)
