"""The sandbox beside the demo: a process of its own, its outside view, and the people who work in it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import requests

from jobs.cli.exits import Stop

_OBJECTS = {"salesforce": "Account", "hubspot": "companies"}
_OWNER = {"salesforce": "OwnerId", "hubspot": "hubspot_owner_id"}
TIMEOUT_S = 30
_DAYS = ("Activity Date", "Last Activity Date")


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSandbox:
    """Addresses of the running sandbox, and questions to its outside view."""

    base_url: str
    oracle_url: str
    smtp_host: str
    smtp_port: int

    def writes(self) -> int:
        """Write requests that both CRMs have answered since the start."""
        found = self._get("/requests")
        return sum(bool(one["is_write"]) for one in found)

    def last_change(self) -> int:
        """Number of the newest field change in either CRM."""
        return max((one["seq"] for one in self._get("/history")), default=0)

    def mails(self) -> list[dict[str, Any]]:
        """Mails that the sink received."""
        return list(self._get("/mails"))

    def owner(self, connection: str, record_id: str) -> str:
        """The owner a record has now."""
        record = self._get(f"/record/{connection}/{_OBJECTS[connection]}/{record_id}")
        return str(record.get(_OWNER[connection]) or "")

    def edit_owner(self, connection: str, record_id: str, *, to: str, by: str) -> None:
        """A person gives an account to somebody in the CRM's own pages."""
        body = {
            "system": connection,
            "object": _OBJECTS[connection],
            "record_id": record_id,
            "fields": {_OWNER[connection]: to},
            "by": by,
        }
        reply = requests.post(f"{self.oracle_url}/edit", json=body, timeout=TIMEOUT_S)
        reply.raise_for_status()

    def _get(self, path: str) -> Any:
        reply = requests.get(f"{self.oracle_url}{path}", timeout=TIMEOUT_S)
        reply.raise_for_status()
        return reply.json()


@contextmanager
def running_sandbox() -> Iterator[DemoSandbox]:
    """The sandbox with the demo's hospitals on free loopback ports; stopped at the end, whatever happens."""
    command = [sys.executable, "-m", "sandbox", "--data", "demo"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield DemoSandbox(**_addresses(process))
    finally:
        process.terminate()
        try:
            process.wait(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _addresses(process: subprocess.Popen[str]) -> Mapping[str, Any]:
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        said = process.stderr.read() if process.stderr else ""
        last = said.strip().splitlines()[-1:] or ["it said nothing"]
        raise Stop(f"the sandbox did not start: {last[0]}\nInstall its parts: pip install 'platbook[demo]'")
    found: dict[str, Any] = json.loads(line)
    return found


def someone_else(users: Sequence[Mapping[str, Any]], *, than: Sequence[str]) -> str:
    """The first active user, by id, who is none of those named."""
    active: list[str] = sorted(user["user_id"] for user in users if user["is_active"])
    return next(user_id for user_id in active if user_id not in than)


def moved_up(source: Path, folder: Path, *, to: date) -> Path:
    """A copy of a made-up delivery whose newest day is the day before `to`, all others as far apart as before.

    Signals and contacts count for a year: those of the files would be too old for a plan of today.
    """
    with source.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, strict=True))
    column = next(name for name in rows[0] if name in _DAYS)
    shift = to - timedelta(days=1) - max(date.fromisoformat(row[column]) for row in rows)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / source.name
    with target.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, column: (date.fromisoformat(row[column]) + shift).isoformat()} for row in rows)
    return target
