"""A vendor delivery of any size, made on the fly: how much memory the intake takes, and how many rows a second it does.

`python -m bench.feeds [--gb 2]` writes a CSV file to a temporary folder, then takes it in a process of its own with a
database and a snapshot folder of its own, imports included. Peak memory is what the system reports of that process.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

SAMPLE = Path(__file__).parents[1] / "sandbox" / "data" / "feeds" / "definitive_day1.csv.gz"
LIMIT_MB = 400
_CHUNK = 2_000  # rows written together


def main() -> int:
    """Measure and print; 1 where the limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gb", type=float, default=2.0, help="size of the file in gigabytes (2**30 bytes)")
    parser.add_argument("--take", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.take:
        print(json.dumps(_take(options.take)))
        return 0
    with tempfile.TemporaryDirectory(prefix="platbook-feeds-") as folder:
        path = Path(folder) / "definitive_large.csv"
        rows = _write(path, int(options.gb * (1 << 30)))
        print(f"file      {path.stat().st_size / 1e9:.2f} GB, {rows:,} rows")
        took = _in_a_process(path)
    peak_mb = took["peak_kb"] / 1024
    print(f"verdict   {took['verdict']}, {took['kept']:,} rows kept")
    print(f"peak      {peak_mb:.0f} MB with imports ({took['imports_kb'] / 1024:.0f} MB), limit {LIMIT_MB} MB")
    print(f"speed     {rows / took['wall_s']:,.0f} rows/s on the clock, {rows / took['cpu_s']:,.0f} rows/s of one core")
    return int(peak_mb > LIMIT_MB)


def _write(path: Path, size: int) -> int:
    """The packaged delivery again and again with new ids, until the file is that large; how many rows."""
    header, *body = _sample()
    written = 0
    with path.open("wb") as out:
        out.write(header)
        for chunk in _chunks(body):
            out.write(chunk)
            written += _CHUNK
            if out.tell() >= size:
                return written
    raise AssertionError("the rows never end")


def _sample() -> list[bytes]:
    with gzip.open(SAMPLE) as stream:
        return stream.readlines()


def _chunks(body: list[bytes]) -> Iterator[bytes]:
    """Rows whose first cell, the vendor id, is counted up."""
    tails = [row.partition(b",")[2] for row in body if row.count(b'"') == 0]
    numbers = count(10_000_000)
    while True:
        yield b"".join(
            b"%d,%s" % (number, tails[number % len(tails)]) for number, _ in zip(numbers, range(_CHUNK), strict=False)
        )


def _in_a_process(path: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.feeds", "--take", str(path)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"})
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _take(path: Path) -> dict[str, object]:
    """What `platbook feeds take` does, in this process."""
    from jobs.feeds import Declared, take_delivery  # imported here: the parent writes the file without them
    from jobs.settings import Settings
    from jobs.wiring import Wired

    imports_kb = _peak_kb()
    folder = path.parent
    settings = Settings(database_url=f"sqlite:///{folder / 'state.db'}", snapshot_url=str(folder / "snapshots"))
    wired = Wired(settings=settings)
    wired.database.migrate()
    began, cpu = time.perf_counter(), time.process_time()
    taken = take_delivery(wired, path, Declared(layout="definitive", as_of="2026-01-15"))
    return {
        "verdict": taken.intake.verdict.value,
        "kept": taken.snapshot.row_count if taken.snapshot else 0,
        "wall_s": time.perf_counter() - began,
        "cpu_s": time.process_time() - cpu,
        "imports_kb": imports_kb,
        "peak_kb": _peak_kb(),
    }


def _peak_kb() -> int:
    """Highest resident memory of this process since its program was started."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))


if __name__ == "__main__":
    sys.exit(main())
