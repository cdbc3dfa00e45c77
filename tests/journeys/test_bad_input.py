"""Whatever is wrong, a person reads one paragraph: what, where, the limit, the remedy; and nothing is written."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.journeys.conftest import ROOT, Cli, Result
from tests.journeys.world import header_without, write_feed

LINES = 6
"""Lines of the longest message that is still one paragraph."""


@dataclass(frozen=True)
class Wrong:
    """A command that cannot work, the exit code, and what its message has to name."""

    words: tuple[str, ...]
    code: int
    says: tuple[str, ...]
    settings: dict[str, str | None] = field(default_factory=dict)


SETTINGS = {
    "a client secret that is missing": Wrong(
        ("pull",), 7, ("client secret is missing", "PLATBOOK_SALESFORCE__"), {"SALESFORCE__CLIENT_SECRET": None}
    ),
    "no credential at all": Wrong(
        ("pull",),
        7,
        ("no CRM is configured", "PLATBOOK_SALESFORCE__CLIENT_ID"),
        {"SALESFORCE__CLIENT_ID": None, "HUBSPOT__ACCESS_TOKEN": None},
    ),
    "a wrong Salesforce secret": Wrong(
        ("pull",), 7, ("Salesforce login refused", "PLATBOOK_SALESFORCE__"), {"SALESFORCE__CLIENT_SECRET": "wrong"}
    ),
    "a wrong HubSpot token": Wrong(
        ("pull",), 7, ("HubSpot", "token", "PLATBOOK_HUBSPOT__"), {"HUBSPOT__ACCESS_TOKEN": "wrong"}
    ),
    "plain http to a Salesforce elsewhere": Wrong(
        ("pull",), 7, ("https",), {"SALESFORCE__LOGIN_URL": "http://crm.example"}
    ),
    "plain http to a HubSpot elsewhere": Wrong(("pull",), 7, ("https",), {"HUBSPOT__BASE_URL": "http://crm.example"}),
    "a setting that is no number": Wrong(("pull",), 7, ("PLATBOOK_SMTP__PORT", "integer"), {"SMTP__PORT": "many"}),
    "a setting that is none of the words allowed": Wrong(
        ("runs",), 7, ("PLATBOOK_ENGINE", "polars"), {"ENGINE": "abacus"}
    ),
    "a setting that does not exist": Wrong(
        ("runs",), 7, ("PLATBOOK_SALESFORCE__CLIENTID",), {"SALESFORCE__CLIENTID": "x"}
    ),
    "a time zone that is none": Wrong(
        ("plan",), 7, ("PLATBOOK_TIMEZONE", "Mars/Olympus"), {"TIMEZONE": "Mars/Olympus"}
    ),
    "a schedule that is no cron expression": Wrong(
        ("daemon",), 7, ("PLATBOOK_SCHEDULE__PULL", "every morning"), {"SCHEDULE__PULL": "every morning"}
    ),
    "a database URL that is none": Wrong(("runs",), 1, ("database",), {"DATABASE_URL": "somewhere"}),
    "a database of a kind that is not known": Wrong(
        ("runs",), 1, ("neither a SQLite file nor PostgreSQL",), {"DATABASE_URL": "oracle://host/db"}
    ),
    "an overlay folder that is not there": Wrong(
        ("plan",), 7, ("the overlay folder does not exist",), {"MAPPINGS_DIR": "/nowhere/mappings"}
    ),
}


@pytest.mark.parametrize("wrong", SETTINGS.values(), ids=SETTINGS)
def test_a_setting_that_cannot_be_used_is_named(planned: Cli, wrong: Wrong) -> None:
    result = planned.run(*wrong.words, **wrong.settings)
    _explained(planned, result, wrong.code, *wrong.says)
    assert "wrong" not in result.err.split()  # no secret


LINES_OF_COMMAND = {
    "a verb that does not exist": Wrong(("aply",), 64, ("aply", "platbook --help")),
    "an option that does not exist": Wrong(("pull", "--fast"), 64, ("--fast",)),
    "an argument that is missing": Wrong(("feeds", "take"), 64, ("file",)),
    "a selector with a word misspelt": Wrong(("show", "--where", "stat=fill"), 64, ('did you mean "state"',)),
    "a selector that ends too early": Wrong(("show", "--where", "state="), 64, ("a value was expected",)),
    "a decision without a reason": Wrong(("approve", "--where", "state=fill"), 64, ("--reason",)),
    "a decision on nothing": Wrong(("approve", "--reason", "x"), 64, ("--where",)),
    "a decision on an item that is not there": Wrong(("keep", "ffff", "--reason", "x"), 64, ("ffff", "platbook show")),
    "a plan that does not exist": Wrong(("show", "--plan", "P-NONE"), 1, ("P-NONE",)),
    "a run that does not exist": Wrong(("runs", "R-NONE"), 1, ("R-NONE",)),
    "an account that nobody knows": Wrong(("explain", "Nowhere General"), 1, ("Nowhere General", "export accounts")),
    "a table that cannot be exported": Wrong(("export", "secrets", "-o", "x.csv"), 64, ("secrets", "accounts")),
    "a format that cannot be written": Wrong(("export", "links", "-o", "links.pdf"), 64, ("links.pdf", ".xlsx")),
    "a guard that did not stop the plan": Wrong(
        ("apply", "--accept-guard", "owner_changes", "--reason", "x"), 64, ("owner_changes", "first_contact")
    ),
    "a guard accepted without a reason": Wrong(("apply", "--accept-guard", "first_contact"), 64, ("--reason",)),
    "a day that is none": Wrong(("plan", "--as-of", "tomorrow"), 64, ("--as-of", "tomorrow", "YYYY-MM-DD")),
    "a last day that is none": Wrong(
        ("keep", "--where", "action=review", "--reason", "x", "--until", "soon"), 64, ("--until", "soon", "YYYY-MM-DD")
    ),
    "a last day that is over": Wrong(
        ("keep", "--where", "action=review", "--reason", "x", "--until", "2020-01-31"), 64, ("2020-01-31 is over",)
    ),
    "an approval of what somebody has to weigh": Wrong(
        ("approve", "--where", "action=review", "--reason", "x"), 1, ("--take-ours", "platbook keep")
    ),
    "a field that is not managed": Wrong(("explain", "Hays", "--field", "owners"), 64, ("owners", "owner_role")),
    "a number of rows below one": Wrong(("show", "--limit", "0"), 64, ("--limit",)),
    "a proof on what is no record": Wrong(("doctor", "--prove-conditions", "001"), 64, ("001", "18")),
    "a head of the audit that is none": Wrong(("audit", "verify", "--head", "x"), 64, ("ROW:HASH",)),
    "a feed file that is not there": Wrong(
        ("feeds", "take", "definitive_gone.csv", "--as-of", "2026-01-05"), 64, ("definitive_gone.csv",)
    ),
    "a feed without its date": Wrong(("feeds", "take", "definitive_day1.csv"), 64, ("--as-of", "MANIFEST.csv")),
    "a feed of no known layout": Wrong(
        ("feeds", "take", "mappings/reps.yaml", "--as-of", "2026-01-05"), 64, ("--layout",)
    ),
    "a delivery that does not exist": Wrong(("feeds", "accept", "S-NONE", "--reason", "x"), 1, ("S-NONE",)),
}


@pytest.mark.parametrize("wrong", LINES_OF_COMMAND.values(), ids=LINES_OF_COMMAND)
def test_a_command_line_that_cannot_work_says_why(planned: Cli, wrong: Wrong) -> None:
    _explained(planned, planned.run(*wrong.words), wrong.code, *wrong.says)


def test_a_crm_that_cannot_be_reached_is_named(planned: Cli) -> None:
    with _closed_port() as port:
        result = planned.run("pull", SALESFORCE__LOGIN_URL=f"http://127.0.0.1:{port}")
    _explained(planned, result, 1, "Salesforce", "no connection", "PLATBOOK_SALESFORCE__")


def test_a_mail_server_that_cannot_be_reached_keeps_the_mail_waiting(planned: Cli) -> None:
    planned.approve_all()
    with _closed_port() as port:
        applied = planned.run(
            "apply", "--accept-guard", "first_contact", "--reason", "reviewed", "--json", SMTP__PORT=str(port)
        )
    assert applied.code == 0
    assert (applied.json["mails_sent"], applied.json["mails_waiting"]) == (0, 1)


def test_an_unknown_field_in_a_map_is_named_with_its_file_and_line(planned: Cli) -> None:
    line = _broken(planned, "salesforce.yaml", "name: {native: Name}", "nmae: {native: Name}")
    _explained(planned, planned.run("plan"), 7, f"salesforce.yaml:{line}", "nmae")


def test_an_invalid_policy_is_named_with_its_file_and_line(planned: Cli) -> None:
    line = _broken(planned, "policies/guards.yaml", "owner_changes: {count: 50,", "owner_changes: {count: -5,")
    _explained(planned, planned.run("apply"), 7, f"guards.yaml:{line}")


def test_a_feed_without_its_key_column_is_rejected_and_not_used(planned: Cli) -> None:
    feed = write_feed(planned.folder, header=header_without("Definitive ID"))
    result = planned.run("feeds", "take", str(feed), "--as-of", "2026-02-05")
    assert result.code == 1
    assert "REJECT_FILE" in result.out
    assert "Definitive ID" in result.out
    assert _statuses(planned) == ["rejected", "accepted"]


def test_a_feed_in_another_encoding_than_declared_is_not_guessed_at(planned: Cli) -> None:
    feed = write_feed(planned.folder, encoding="utf-16")
    result = planned.run("feeds", "take", str(feed), "--as-of", "2026-02-05")
    assert result.code == 1
    assert "REJECT_FILE" in result.out
    assert "Traceback" not in result.err
    unknown = planned.run("feeds", "take", str(feed), "--as-of", "2026-02-05", "--encoding", "klingon")
    assert unknown.code in (1, 64)
    assert "klingon" in unknown.out + unknown.err


def test_a_database_folder_that_cannot_be_made_is_named(cli: Cli) -> None:
    (cli.folder / "a-file").touch()  # not a read-only folder: root may write there
    result = cli.run("pull", DATABASE_URL=f"sqlite:///{cli.folder / 'a-file' / 'platbook.db'}")
    _explained(cli, result, 1, "a-file")


def test_a_report_folder_that_cannot_be_written_stops_an_apply_before_anything_is_sent(planned: Cli) -> None:
    planned.approve_all()
    (planned.folder / "a-file").touch()
    words = ("apply", "--accept-guard", "first_contact", "--reason", "reviewed")
    result = planned.run(*words, REPORT_DIR=str(planned.folder / "a-file" / "reports"))
    _explained(planned, result, 1, "report folder", "PLATBOOK_REPORT_DIR")


def test_a_cut_audit_shows_against_the_head_of_a_mail(planned: Cli) -> None:
    head = planned.ok("audit", "verify", "--json").json["head"]
    as_mailed = f"Audit: row {head['row']}, {head['hash']}"
    planned.ok("audit", "verify", "--head", as_mailed)
    later = planned.run("audit", "verify", "--head", f"{head['row'] + 1}:{head['hash']}")
    _explained(planned, later, 1, "ends before row", "--head")
    other = planned.run("audit", "verify", "--head", f"{head['row']}:{'0' * 64}")
    _explained(planned, other, 1, "is not the one written down")


def test_doctor_names_a_file_of_secrets_that_others_can_read(cli: Cli) -> None:
    (cli.folder / ".env").write_text("PLATBOOK_SMTP__PASSWORD=x\n")
    (cli.folder / ".env").chmod(0o644)
    loose = cli.run("doctor")
    assert (loose.code, "chmod 600 .env" in loose.out) == (7, True)
    (cli.folder / ".env").chmod(0o600)
    assert cli.ok("doctor").code == 0
    assert (cli.folder / "state" / "platbook.db").stat().st_mode & 0o007 == 0


def test_nothing_to_plan_from_and_no_plan_are_said_plainly(cli: Cli) -> None:
    _explained(cli, cli.run("plan"), 1, "platbook pull")
    _explained(cli, cli.run("show"), 1, "platbook plan")
    _explained(cli, cli.run("apply"), 1, "platbook plan")


def test_doctor_lists_what_a_person_has_to_do(cli: Cli) -> None:
    result = cli.run("doctor", SALESFORCE__CLIENT_SECRET="wrong", HUBSPOT__ACCESS_TOKEN=None)  # wrong on purpose
    assert result.code == 7
    assert "TO DO" in result.out
    assert "Traceback" not in result.err


def test_a_sandbox_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "sandbox", "--data", "empty", "--port", str(port)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert "cannot listen on 127.0.0.1" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_demo_empties_no_folder_that_is_not_its_own(cli: Cli) -> None:
    (cli.folder / "mine").mkdir()
    (cli.folder / "mine" / "thesis.txt").write_text("years of work")
    _explained(cli, cli.run("demo", "--output", "mine"), 1, "--output")
    assert Path(cli.folder / "mine" / "thesis.txt").read_text() == "years of work"


def _explained(cli: Cli, result: Result, code: int, *words: str) -> None:
    assert result.code == code, result
    for word in words:
        assert word in result.said, result.said
    assert "Traceback" not in result.err
    assert "unexpected " not in result.err
    assert 0 < len(result.said.strip().splitlines()) <= LINES, result.said
    assert cli.writes() == 0


def _broken(cli: Cli, name: str, right: str, wrong: str) -> int:
    """Lay a shipped file with one mistake over itself; the line of the mistake, counted from 1."""
    text = (ROOT / "mappings" / name).read_text(encoding="utf-8")
    assert right in text
    (cli.folder / "mappings" / Path(name).name).write_text(text.replace(right, wrong, 1), encoding="utf-8")
    return text[: text.index(right)].count("\n") + 1


def _statuses(cli: Cli) -> list[str]:
    return [one["status"] for one in cli.ok("feeds", "list", "--json").json["deliveries"]]


@contextmanager
def _closed_port() -> Iterator[int]:
    """A loopback port that surely refuses: bound by us, and nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
