"""A wrong folder of labelled hospitals is said in one paragraph, before anything is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from bench import events, identity, multi_rep
from bench.labelled import NEEDED, labelled_folder


@pytest.mark.parametrize("bench", [identity, events, multi_rep])
def test_a_folder_that_is_not_there_ends_with_usage_and_one_paragraph(
    bench: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "--data", str(tmp_path / "gone")])
    with pytest.raises(SystemExit) as stopped:
        bench.main()  # type: ignore[attr-defined]  # a module
    said = capsys.readouterr().err
    assert stopped.value.code == 2
    assert "gone is no folder; expected the folder of the labelled hospitals" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("names", [NEEDED, [f"{one}.gz".replace(".gz.gz", "") for one in NEEDED]])
def test_files_may_be_packed_or_not_and_the_first_that_is_missing_is_named(
    tmp_path: Path, names: Sequence[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert labelled_folder(str(tmp_path)) == tmp_path
    (tmp_path / names[-1]).unlink()
    monkeypatch.setattr("sys.argv", ["bench", "--data", str(tmp_path)])
    with pytest.raises(SystemExit):
        identity.main()
    assert f"has no {NEEDED[-1]}; expected" in capsys.readouterr().err
