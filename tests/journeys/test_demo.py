"""The demo as somebody runs it who has just installed Platbook."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """What the demo said, and the folder it filled."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    command = [str(Path(sys.executable).parent / "platbook"), "demo", "--output", str(folder)]
    ended = subprocess.run(command, cwd=folder.parent, capture_output=True, text=True, timeout=180, check=False)
    return ended, folder


def test_the_demo_tells_the_whole_story_and_ends_by_itself(
    told: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    ended, _ = told
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr
    assert "Traceback" not in ended.stderr
    for words in (
        "stopped by a guard, nothing was written",
        "owner changes applied",
        "items not (simply) written",
        "write requests in the sandboxes' own log: 0",
        "mails received",
    ):
        assert words in ended.stdout, words
    assert re.search(r"verified [\d,]+ · stale \d+", ended.stdout)
    edits, left = re.findall(
        r"edits by people between plan and apply: (\d+), still as they left them: (\d+)", ended.stdout
    )[0]
    assert int(edits) == int(left) > 0


def test_the_demo_leaves_logs_mail_and_a_report(told: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    _, folder = told
    assert (folder / "platbook.db").is_file()
    assert "In short" in (folder / "report.txt").read_text(encoding="utf-8")
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")
    reports = folder / "reports"
    for ending in ("csv", "xlsx", "json"):
        assert len(list(reports.glob(f"diff-R-*.{ending}"))) >= 2, ending
    mails = list(reports.glob("mail-*.html"))
    assert len(mails) == len(list(reports.glob("mail-*.eml"))) > 0
    assert all("<table" in mail.read_text(encoding="utf-8") for mail in mails)


def test_the_demo_leaves_no_credential_behind(told: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    _, folder = told
    secret = re.compile(rb"Bearer [A-Za-z0-9]|client_secret=|access_token|00D[A-Za-z0-9]{12,15}![A-Za-z0-9]")
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        assert not secret.search(file.read_bytes()), file
