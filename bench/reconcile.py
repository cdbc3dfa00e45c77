"""Wall time, processor time and peak memory of the core, whole and by stage."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any

import psutil

from mappings.policy import Mappings
from sync import reconcile as core
from sync.engine import Engine
from sync.world import Reconciliation, World

_APART = {"describe_holders": "profiles", "of_accounts": "profiles"}
"""Functions that are a stage of their own; all others belong to the stage of their room."""


@dataclass(slots=True)
class Measured:
    """One run: seconds on the wall, seconds of all processors, and the highest resident memory in MiB."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mib: float = 0.0
    stages: dict[str, tuple[float, float, float]] = field(default_factory=dict)  # stage -> seconds, cpu, peak MiB


@dataclass(slots=True)
class Taken:
    """What a piece of work took: seconds on the wall and of all processors."""

    pair: tuple[float, float] = (0.0, 0.0)


@contextmanager
def timed() -> Iterator[Taken]:
    """Times what is inside."""
    taken, wall, cpu = Taken(), time.perf_counter(), time.process_time()
    yield taken
    taken.pair = time.perf_counter() - wall, time.process_time() - cpu


class Peak:
    """Highest resident memory of this process, sampled every 10 ms."""

    def __init__(self) -> None:
        self._process, self._stop = psutil.Process(), threading.Event()
        self.highest = self.window = 0.0
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.is_set():
            now = self._process.memory_info().rss / 2**20
            self.highest, self.window = max(self.highest, now), max(self.window, now)
            self._stop.wait(0.01)


def measure(world: World, mappings: Mappings, as_of: str, engine: Engine) -> tuple[Measured, Reconciliation]:
    """One whole reconciliation."""
    measured = Measured()
    with Peak() as peak, _timed(core, measured, peak):
        wall, cpu = time.perf_counter(), time.process_time()
        made = core.reconcile(world, mappings, as_of, engine)
        measured.seconds, measured.cpu_seconds = time.perf_counter() - wall, time.process_time() - cpu
    measured.peak_mib = peak.highest
    return measured, made


@contextmanager
def _timed(module: ModuleType, measured: Measured, peak: Peak) -> Iterator[None]:
    """Stages timed where the core calls them. Lazy work is counted where it is computed."""
    originals = {name: value for name, value in vars(module).items() if _is_stage(value, module)}
    for name, function in originals.items():
        setattr(module, name, _wrap(function, _APART.get(name, function.__module__.split(".")[1]), measured, peak))
    try:
        yield
    finally:
        for name, function in originals.items():
            setattr(module, name, function)


def _is_stage(value: object, module: ModuleType) -> bool:
    """Functions that `sync/reconcile.py` imports from the rooms of the core; the room is the stage."""
    return isinstance(value, FunctionType) and value.__module__ != module.__name__


def _wrap(function: Callable[..., Any], stage: str, measured: Measured, peak: Peak) -> Callable[..., Any]:
    def timed(*args: Any, **kwargs: Any) -> Any:
        peak.window = 0.0
        wall, cpu = time.perf_counter(), time.process_time()
        result = function(*args, **kwargs)
        seconds, processor, highest = measured.stages.get(stage, (0.0, 0.0, 0.0))
        measured.stages[stage] = (
            seconds + time.perf_counter() - wall,
            processor + time.process_time() - cpu,
            max(highest, peak.window),
        )
        return result

    return timed
