"""R71 for what ships: a policy file that says something else than before has a new version in its header."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from mappings.located import read

ROOT = Path(__file__).parents[3]
SHIPPED = sorted((ROOT / "mappings/policies").glob("*.yaml"))
REGISTER = ROOT / "tests/fixtures/policy_versions.json"


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_R71_a_shipped_policy_says_what_its_version_said_before(path: Path) -> None:
    said = dict(read(path.read_text(encoding="utf-8"), path.name).data)
    name = f"{path.stem}@{said.pop('policy')['version']}"
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    known = json.loads(REGISTER.read_text(encoding="utf-8"))
    assert known.get(name) == digest, (
        f"{path.name} says something else than {name} did: write the next version in its header and add "
        f"NAME@VERSION with {digest} to {REGISTER.name}; what is registered stays"
    )
