"""A warm process that forks a `platbook` process for every command it is asked for.

Importing the tables and the client libraries takes a second and a half; a fork of a process that has them takes
nothing. The forked process has an environment, folder, streams, signals and exit status of its own, as any other.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
from functools import cache
from typing import Any

import yaml

from jobs.cli.app import run
from mappings.load import load

LATE = (
    "dateutil.parser",
    "hubspot.crm.companies",
    "hubspot.crm.deals",
    "hubspot.crm.owners",
    "hubspot.crm.properties",
    "multiprocessing.pool",
    "narwhals._polars.dataframe",
    "narwhals._polars.group_by",
    "narwhals.group_by",
    "pyarrow.acero",
    "pyarrow.dataset",
    "rich._emoji_codes",
)
"""What commands import when they come to need it."""


def serve() -> None:
    """One JSON request a line: {"start": {...}} answers with the process id, {"wait": pid} with the exit status."""
    _prepare()
    for line in sys.stdin:
        request = json.loads(line)
        answer = _start(request["start"]) if "start" in request else _wait(request["wait"])
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def _prepare() -> None:
    """Do once what every command would do alike: late imports, and the parsing of the shipped files, text by text."""
    for name in LATE:
        importlib.import_module(name)
    yaml.compose = cache(yaml.compose)  # the tree of a text, which nobody changes; other texts are parsed as ever
    load()
    gc.collect()
    gc.freeze()  # or the collector of every fork would walk, and so copy, all that is here


def _start(job: dict[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        _become(job)
    return pid


def _wait(pid: int) -> int:
    """The exit status as a shell shows it: negative when a signal ended the process."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _become(job: dict[str, Any]) -> None:
    """Turn this process into the command. Does not return."""
    for number, path in ((0, os.devnull), (1, job["stdout"]), (2, job["stderr"])):
        opened = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(job["environment"])
    os.chdir(job["folder"])
    code = 1
    try:
        code = run(job["words"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
