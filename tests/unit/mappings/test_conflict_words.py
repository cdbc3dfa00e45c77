"""Words of the conflict policy that say who decides: what cannot be meant is named with file and line."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from mappings.load import MappingError, load

PACKAGED = (files("mappings") / "policies" / "conflicts.yaml").read_text(encoding="utf-8")

REFUSED = {
    "an unknown actor": ("clear: forbid}", "clear: forbid, trust: [{actor: humans, verdict: ours}]}", "kind of actor"),
    "a date that is none": ("clear: forbid}", "clear: forbid, override_until: 2027-02-30}", "2027-02-30"),
    "a class that is no group": ("\nfields:", "\nrequires: [{class: owners}]\nfields:", "neither a group"),
    "an approval by nobody": ("\nfields:", "\nrequires: [{class: ownership, approvers: 0}]\nfields:", "approvers is 0"),
    "two lines about passed limits": (
        "\nfields:",
        "\nrequires: [{class: guard_override}, {class: guard_override, approvers: 1}]\nfields:",
        "guard_override is said twice",
    ),
    "a batch lane that a person's edit may stop": (
        "on_drift: enforce, on_conflict: ours, on_takeover: review, clear: review}",
        "on_drift: enforce, on_conflict: ours, on_takeover: review, clear: review, "
        "trust: [{actor: human, verdict: review}]}",
        "use lane conditional",
    ),
}


def written(tmp_path: Path, old: str, new: str) -> Path:
    assert old in PACKAGED
    (tmp_path / "conflicts.yaml").write_text(PACKAGED.replace(old, new, 1), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, case: str) -> None:
    old, new, said = REFUSED[case]
    with pytest.raises(MappingError, match=said):
        load(written(tmp_path, old, new))


def test_what_is_meant_is_read(tmp_path: Path) -> None:
    rules = "\nrequire_verified_person: true\nrequires: [{class: ownership, accounts_over: 25, approvers: 2}]\nfields:"
    policy = load(written(tmp_path, "\nfields:", rules)).policies.conflicts
    assert policy.require_verified_person
    assert (policy.requires[0].of, policy.requires[0].accounts_over, policy.requires[0].not_author) == (
        "ownership",
        25,
        True,
    )
