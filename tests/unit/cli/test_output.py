"""What a verb shows: text from a CRM is shown and never obeyed, and any stream takes it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.cli import output
from jobs.cli.app import NOT_FOR_OTHERS, run

HOSTILE = "Mercy\x1b]0;owned\x07\x1b[2J\x9b31m \u202egnp.exe \ud800\r Hays"
OBEYED = ("\x1b", "\x07", "\x9b", "\u202e", "\ud800", "\r")


@pytest.mark.parametrize("speak", ["say", "table", "title", "error"])
def test_an_account_name_cannot_steer_the_terminal(speak: str, capsys: pytest.CaptureFixture[str]) -> None:
    if speak == "say":
        output.say(HOSTILE)
    elif speak == "error":
        output.err.print(HOSTILE, markup=False)
    else:
        output.table(HOSTILE if speak == "title" else "", ["name"], [[HOSTILE if speak == "table" else ""]])
    shown = "".join(capsys.readouterr())
    assert "Mercy" in shown
    assert [sign for sign in OBEYED if sign in shown] == []


def test_a_json_document_escapes_what_a_terminal_would_obey_and_keeps_the_value(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.emit_json("show", {"name": HOSTILE, "city": "Málaga"})
    shown = capsys.readouterr().out
    assert [sign for sign in OBEYED if sign in shown] == []
    assert "Málaga" in shown
    assert json.loads(shown)["name"] == HOSTILE


def test_a_stream_of_a_small_encoding_takes_any_text(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    output.prepare_streams()
    output.emit_json("show", {"name": "Málaga"})
    stream.write("⏸ held")
    stream.flush()
    written = stream.buffer.getvalue()  # type: ignore[attr-defined]  # a BytesIO
    document, _, rest = written.rpartition(b"\n")
    assert (json.loads(document)["name"], rest) == ("Málaga", b"? held")


def test_a_closed_stream_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    output.prepare_streams()
    with sys.stdout:
        output.emit_json("runs", {})


def test_a_reader_who_leaves_does_not_end_the_job() -> None:
    program = (
        "from jobs.cli import output\n"
        "output.prepare_streams()\n"
        "for line in range(20_000): output.say('x' * 80)\n"
        "output.emit_json('show', {'x': 'y' * 1_000_000})\n"
        "output.flush()\n"
        "output.err.print('done')"
    )
    read, write = os.pipe()
    os.close(read)
    ended = subprocess.run(
        [sys.executable, "-c", program], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert (ended.returncode, ended.stderr) == (0, "done\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_output_that_finds_no_place_is_an_error() -> None:
    program = "import sys; from jobs.cli.app import run; sys.exit(run(['--help']))"
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-c", program], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert ended.returncode != 0
    assert "No space left" in ended.stderr
    assert "unexpected" not in ended.stderr


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_nothing_that_is_written_is_for_other_users_of_the_machine(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        run(["--help"])
        (tmp_path / "file").touch()
        assert (tmp_path / "file").stat().st_mode & NOT_FOR_OTHERS == 0
        assert os.umask(mask) == mask | NOT_FOR_OTHERS
    finally:
        os.umask(before)
