"""Platbook as a user has it: commands as processes, two CRMs and a mail server over HTTP and SMTP."""

from __future__ import annotations

import copy
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from sandbox.server import Sandbox
from sandbox.world import World
from tests.journeys.world import small_world, write_feed, write_mappings

ROOT = Path(__file__).parent.parent.parent
TIMEOUT_S = 25.0


@dataclass(frozen=True)
class Result:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on standard output."""
        return json.loads(self.out)

    @property
    def said(self) -> str:
        """What a person reads on standard error: progress lines left out."""
        return "\n".join(line for line in self.err.splitlines() if '"progress"' not in line)


class Warm:
    """The process that forks commands, and the pipe to it."""

    def __init__(self) -> None:
        command = [sys.executable, str(Path(__file__).parent / "warm.py")]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )
        self._lock = threading.Lock()

    def ask(self, request: Mapping[str, Any]) -> int:
        """Send one request and give its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            return int(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        with self._process:
            self._process.terminate()


@dataclass
class Command:
    """A `platbook` process under way."""

    warm: Warm
    pid: int
    stdout: Path
    stderr: Path

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def wait(self) -> Result:
        """Its end; killed when that takes too long, so that a hanging command fails one test and not the suite."""
        guard = threading.Timer(TIMEOUT_S, os.kill, (self.pid, signal.SIGKILL))
        guard.start()
        try:
            code = self.warm.ask({"wait": self.pid})
        finally:
            guard.cancel()
            guard.join()
        return Result(code=code, out=self.stdout.read_text(), err=self.stderr.read_text())


@dataclass
class Cli:
    """The `platbook` command of one installation."""

    warm: Warm
    folder: Path
    sandbox: Sandbox
    environment: dict[str, str]
    _numbers: Iterator[int] = field(default_factory=count)

    def run(self, *words: str, **changed: str | None) -> Result:
        """Run a command to its end. `changed` are environment variables without their prefix; None takes one out."""
        return self.start(*words, **changed).wait()

    def start(self, *words: str, **changed: str | None) -> Command:
        """Start a command and go on."""
        environment = dict(self.environment)
        for name, value in changed.items():
            environment.pop(f"PLATBOOK_{name}", None)
            if value is not None:
                environment[f"PLATBOOK_{name}"] = value
        number = next(self._numbers)
        streams = {kind: str(self.folder / f"{kind}-{number}.txt") for kind in ("stdout", "stderr")}
        job = {"words": words, "environment": environment, "folder": str(self.folder), **streams}
        pid = self.warm.ask({"start": job})
        return Command(self.warm, pid, Path(streams["stdout"]), Path(streams["stderr"]))

    def ok(self, *words: str, **changed: str | None) -> Result:
        """Run a command that has to succeed."""
        result = self.run(*words, **changed)
        assert result.code == 0, f"{words}: exit {result.code}\n{result.out}\n{result.err}"
        return result

    # -- what the CRMs say

    def writes(self) -> int:
        """Write requests that both CRMs have answered."""
        world = self.sandbox.world
        with world.lock:
            return sum(request.is_write for request in world.requests)

    def record(self, system: str, record_id: str) -> dict[str, Any]:
        """A record as it stands in its CRM now."""
        found = self.sandbox.world.get(system, {"salesforce": "Account", "hubspot": "companies"}[system], record_id)
        assert found is not None
        return found

    def edit(self, system: str, record_id: str, by: str, **fields: str | None) -> None:
        """A person changes a record in the CRM's own pages."""
        table = {"salesforce": "Account", "hubspot": "companies"}[system]
        self.sandbox.world.human_edit(system, table, record_id, fields, by=by)

    # -- steps that many journeys begin with

    def approve_all(self) -> None:
        """A person agrees to everything the newest plan asks."""
        self.ok("approve", "--where", 'item!=""', "--take-ours", "--reason", "reviewed")

    def apply_first(self) -> Result:
        """Apply the newest plan, first contact let through."""
        return self.run("apply", "--accept-guard", "first_contact", "--reason", "reviewed with the regions")


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    process = Warm()
    yield process
    process.close()


@pytest.fixture(scope="session")
def running_sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def cli(warm: Warm, running_sandbox: Sandbox, tmp_path: Path) -> Cli:
    """A new installation in a folder of its own, beside CRMs that hold the small world."""
    return installed(warm, running_sandbox, tmp_path)


@pytest.fixture(scope="session")
def planned_folder(warm: Warm, running_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an installation that has pulled, taken the vendor's file and planned. None of it changes a CRM."""
    first = installed(warm, running_sandbox, tmp_path_factory.mktemp("planned"))
    first.ok("pull")
    first.ok("feeds", "take", str(write_feed(first.folder)), "--as-of", "2026-01-05")
    assert first.run("plan").code == 4
    return first.folder


@pytest.fixture
def planned(planned_folder: Path, warm: Warm, running_sandbox: Sandbox, tmp_path: Path) -> Cli:
    """An installation that has planned its first contact, stopped by the guard; a copy of its own."""
    shutil.copytree(planned_folder, tmp_path, dirs_exist_ok=True)
    return installed(warm, running_sandbox, tmp_path)


@pytest.fixture(scope="session")
def settled_at(
    planned_folder: Path, warm: Warm, running_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, World]:
    """Folder of an installation after first contact (all approved, written and pulled again), and its CRMs."""
    folder = tmp_path_factory.mktemp("settled")
    shutil.copytree(planned_folder, folder, dirs_exist_ok=True)
    first = installed(warm, running_sandbox, folder)
    first.approve_all()
    assert first.apply_first().code == 0
    first.ok("pull")
    return folder, running_sandbox.world


@pytest.fixture
def settled(settled_at: tuple[Path, World], warm: Warm, running_sandbox: Sandbox, tmp_path: Path) -> Cli:
    """After first contact: everything was approved and written, and pulled again; a copy of folder and CRMs."""
    folder, world = settled_at
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    copied = installed(warm, running_sandbox, tmp_path)
    running_sandbox.use(twin(world))
    return copied


_OWN = frozenset({"now", "lock", "faults", "_hooks"})


def twin(world: World) -> World:
    """The same CRMs once more, with all that has happened in them; without their faults and hooks."""
    made = World(seed=world.seed)
    vars(made).update(copy.deepcopy({name: value for name, value in vars(world).items() if name not in _OWN}))
    return made


def installed(warm: Warm, sandbox: Sandbox, folder: Path) -> Cli:
    """An installation with every setting that a first user makes."""
    sandbox.use(small_world(World(seed=7)))
    word = "sandbox"  # the only credential the sandbox knows
    settings = {
        "DATABASE_URL": f"sqlite:///{folder / 'state' / 'platbook.db'}",
        "SNAPSHOT_URL": str(folder / "snapshots"),
        "REPORT_DIR": str(folder / "reports"),
        "MAPPINGS_DIR": str(write_mappings(folder / "mappings")),
        "SALESFORCE__LOGIN_URL": sandbox.base_url,
        "SALESFORCE__CLIENT_ID": word,
        "SALESFORCE__CLIENT_SECRET": word,
        "HUBSPOT__BASE_URL": sandbox.base_url,
        "HUBSPOT__ACCESS_TOKEN": word,
        "SMTP__HOST": sandbox.smtp_host,
        "SMTP__PORT": str(sandbox.smtp_port),
        "SMTP__SECURITY": "none",
    }
    environment = {f"PLATBOOK_{name}": value for name, value in settings.items()}
    for name in ("PATH", "HOME", "USER", "LANG"):
        if name in os.environ:
            environment[name] = os.environ[name]
    return Cli(warm=warm, folder=folder, sandbox=sandbox, environment=environment)
