"""What the children of drills are forked with. No child's garbage collector walks it, and so copies it."""

from __future__ import annotations

import gc

import tests.drills.lives  # noqa: F401 - what a child runs

gc.collect()
gc.freeze()
