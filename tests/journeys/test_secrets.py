"""Secrets are in no log, message, file, database or mail, whatever goes wrong."""

from __future__ import annotations

import json
from dataclasses import asdict

from sandbox.faults import Fault, Verb
from tests.journeys.conftest import Cli
from tests.journeys.world import write_feed

SECRETS = {"SALESFORCE__CLIENT_SECRET": "c4n4ry-salesforce-9f1", "HUBSPOT__ACCESS_TOKEN": "c4n4ry-hubspot-7d3"}
WRONG = {"SALESFORCE__CLIENT_SECRET": "c4n4ry-wrong-5b8", "HUBSPOT__ACCESS_TOKEN": "c4n4ry-wrong-2a6"}


def test_planted_secrets_turn_up_nowhere(cli: Cli) -> None:
    world = cli.sandbox.world
    world.clients["sandbox"] = SECRETS["SALESFORCE__CLIENT_SECRET"]
    world.hubspot_tokens.add(SECRETS["HUBSPOT__ACCESS_TOKEN"])
    cli.environment |= {f"PLATBOOK_{name}": value for name, value in SECRETS.items()}
    cli.ok("doctor")
    cli.ok("pull")
    cli.ok("feeds", "take", str(write_feed(cli.folder)), "--as-of", "2026-01-05")
    assert cli.run("plan", "--json").code == 4
    cli.approve_all()
    world.faults.add(Fault(verb=Verb.COMMIT_THEN_RESET, route="composite|batch/update", times=2))
    assert cli.apply_first().code == 0
    for kind, value in WRONG.items():
        assert cli.run("pull", **{kind: value}).code != 0
        assert cli.run("doctor", "--json", **{kind: value}).code != 0
    world.faults.add(Fault(verb=Verb.STATUS, status=500, times=0))
    assert cli.run("pull").code != 0

    for path in cli.folder.rglob("*"):
        assert not path.is_file() or b"c4n4ry" not in path.read_bytes(), path
    sent = [asdict(one) for one in world.requests if one.body is not None]
    assert "c4n4ry" not in json.dumps(sent, default=str)
    assert "c4n4ry" not in "".join(str(mail) for mail in cli.sandbox.mails.messages)
