"""Settings that would be passed over in silence end the command: a misspelt name would mean another database."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.cli.exits import Exit, Stop
from jobs.cli.opened import read_settings

ENV = {
    "a name that is no setting": (b"PLATBOOK_DATABSE_URL=sqlite:///x.db\n", r"\.env:1: .*mean PLATBOOK_DATABASE_URL\?"),
    "a name that is like none": (b"# mine\n\nPLATBOOK_COLOUR=red\n", r"\.env:3: PLATBOOK_COLOUR is no setting"),
    "a line without an equals sign": (b"PLATBOOK_TIMEZONE=UTC\nPLATBOOK_ENGINE polars\n", r"\.env:2: not of the form"),
    "a part as one broken value": (b"PLATBOOK_SALESFORCE={c4n4ry\n", r"salesforce.*parts one by one"),
    "a part with an unknown name": (b'PLATBOOK_SALESFORCE={"secret": "c4n4ry"}\n', r"PLATBOOK_SALESFORCE__SECRET"),
    "another encoding": ("PLATBOOK_TIMEZONE=UTC # café\n".encode("latin-1"), r"\.env: not UTF-8 text"),
    "UTF-16, as an editor may save it": ("PLATBOOK_TIMEZONE=UTC\n".encode("utf-16"), r"\.env: not UTF-8 text"),
    "no number where one is due": (b"PLATBOOK_SMTP__PORT=many\n", r"PLATBOOK_SMTP__PORT: .*integer"),
}


@pytest.mark.parametrize(("text", "said"), ENV.values(), ids=ENV)
def test_a_file_of_settings_that_cannot_be_used_is_named(
    text: bytes, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_bytes(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Stop, match=said) as stop:
        read_settings()
    assert stop.value.code is Exit.NEEDS_PERSON
    assert "c4n4ry" not in str(stop.value)
    assert stop.value.__cause__ is None


def test_a_folder_in_the_place_of_the_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Stop, match=r"\.env: it cannot be read \(Is a directory\)"):
        read_settings()


def test_a_byte_order_mark_and_line_ends_of_windows_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfPLATBOOK_TIMEZONE=America/Chicago\r\nOTHERS=too\r\n")
    monkeypatch.chdir(tmp_path)
    assert read_settings().timezone == "America/Chicago"


def test_a_misspelt_name_in_the_environment_is_named_and_a_stranger_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLATBOOK_NIGHTLY_JOB_NAME", "plan")
    read_settings()
    monkeypatch.setenv("PLATBOOK_SNAPSHOTS_URL", "elsewhere")
    with pytest.raises(Stop, match=r"environment: PLATBOOK_SNAPSHOTS_URL .*mean PLATBOOK_SNAPSHOT_URL\?"):
        read_settings()
