"""python -m sandbox starts, tells its addresses, and stops when told."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import requests


def _start(*args: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sandbox", "--data", "empty", *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_it_prints_its_addresses_and_ends_with_0_on_sigterm():
    with _start() as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert requests.get(f"{told['base_url']}/services/data/", timeout=10).status_code == 200
        assert requests.get(f"{told['oracle_url']}/history", timeout=10).json() == []
        socket.create_connection((told["smtp_host"], told["smtp_port"]), timeout=10).close()
        process.terminate()
        assert process.wait(10) == 0


def test_a_taken_port_is_told_in_one_line_with_exit_code_1():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with _start("--port", str(taken.getsockname()[1])) as process:
            _, errors = process.communicate(timeout=20)
        assert process.returncode == 1
        assert errors.count("\n") == 1
        assert "cannot listen" in errors
