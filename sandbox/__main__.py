"""python -m sandbox: run the sandbox until it is told to stop; prints its addresses as one line of JSON."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading

from sandbox.server import Sandbox


def main() -> int:
    """Serve until SIGTERM or SIGINT. Exit code 1 when a port is taken."""
    args = _arguments()
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    sandbox = Sandbox(port=args.port, oracle_port=args.oracle_port, smtp_port=args.smtp_port, data=args.data)
    try:
        sandbox.start()
    except OSError as error:
        sys.stderr.write(f"sandbox: cannot listen on 127.0.0.1: {error}. Port 0 takes a free one.\n")
        return 1
    try:
        sys.stdout.write(json.dumps(_addresses(sandbox)) + "\n")
        sys.stdout.flush()
        stop.wait()
    finally:
        sandbox.stop()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox", description="A local Salesforce, HubSpot and mail server."
    )
    parser.add_argument("--port", type=int, default=0, help="both CRMs; 0 = a free port")
    parser.add_argument("--oracle-port", type=int, default=0, help="history, requests, edits, faults; 0 = a free port")
    parser.add_argument("--smtp-port", type=int, default=0, help="mail sink; 0 = a free port")
    parser.add_argument("--data", choices=("demo", "empty"), default="demo", help="what the CRMs hold at the start")
    return parser.parse_args()


def _addresses(sandbox: Sandbox) -> dict[str, object]:
    return {
        "base_url": sandbox.base_url,
        "oracle_url": sandbox.oracle_url,
        "smtp_host": sandbox.smtp_host,
        "smtp_port": sandbox.smtp_port,
    }


if __name__ == "__main__":
    sys.exit(main())
