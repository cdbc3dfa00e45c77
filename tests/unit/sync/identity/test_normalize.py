"""Names that people would call the same have one key."""

from __future__ import annotations

import pyarrow as pa
import pytest

from sync.identity.normalize import name_key, street_key


def key(text: str | None) -> str | None:
    return name_key(pa.array([text], pa.string()))[0].as_py()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("St. Mary's Med. Ctr., Inc.", "SAINT MARYS MEDICAL CENTER"),
        ("Clínica Éxito", "clinica exito"),
        ("Mercy – North", "Mercy-North"),
        ("Smith & Sons Hosp", "Smith and Sons Hospital"),
        ("The Valley Hospital (FKA Mercy)", "Valley Hospital"),
        ("O’Connor Hospital", "O'Connor Hospital"),
    ],
)
def test_spellings_of_one_name_have_one_key(one: str, other: str) -> None:
    assert key(one) == key(other)


@pytest.mark.parametrize("text", [None, "", " - ", "Inc."])
def test_nothing_left_is_unknown(text: str | None) -> None:
    assert key(text) is None


def test_different_names_stay_different() -> None:
    assert key("Mercy North") != key("Mercy South")


def test_a_sliced_batch_gives_its_own_rows() -> None:
    names = pa.array(["Zero", "One Hosp", "Two"], pa.string()).slice(1)
    assert name_key(names).to_pylist() == ["one hospital", "two"]


def test_streets_abbreviate_directions_and_types() -> None:
    streets = pa.array(["915 East First Street", "915 E. First St -"], pa.large_string())
    assert len(set(street_key(streets).to_pylist())) == 1
