"""The deep drills: `make drill`, or `python -m tests.drills.deep SECTION --count N`. Prints tables for the docs.

Imports nothing at the top: every child process of a drill loads this module first.
"""

from __future__ import annotations

if __name__ == "__main__":
    import sys

    from tests.drills.sections import main

    sys.exit(main())
