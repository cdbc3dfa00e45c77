"""An organisation in both CRMs with a native sync between them: one side is written, the other waits for the echo."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

from tests.journeys.conftest import Cli
from tests.journeys.test_limits import WORDS, give, limits
from tests.journeys.world import DEE, HAYS, HS_DEE, HS_HAYS

MIRRORED = "multi_crm:\n  owner: {master: salesforce, mirror: [hubspot], wait_for_echo: 1h}\n"


def test_the_mirror_waits_for_the_master_then_for_the_echo_and_is_not_written_when_it_comes(settled: Cli) -> None:
    shipped = (files("mappings") / "policies" / "conflicts.yaml").read_text(encoding="utf-8")
    told = re.sub(r"^fields:", f"{MIRRORED}fields:", shipped, flags=re.MULTILINE)
    (settled.folder / "mappings" / "conflicts.yaml").write_text(told, encoding="utf-8")
    limits(settled, "named_accounts: {count: 9}")
    give(settled, "901")
    assert _mirror(settled) == ("held", "echo: salesforce gets it first; its sync may bring it here")
    settled.ok("approve", "--where", f"record={HAYS} and group=ownership", *WORDS)
    settled.ok("apply")
    assert settled.record("salesforce", HAYS)["OwnerId"] == DEE
    assert settled.record("hubspot", HS_HAYS)["hubspot_owner_id"] != HS_DEE
    give(settled, "901")
    assert _mirror(settled) == ("held", "echo: written to salesforce within 1h; its sync may still bring it")
    settled.edit("hubspot", HS_HAYS, "9999", hubspot_owner_id=HS_DEE)  # the echo
    give(settled, "901")
    left = _rows(settled)
    assert [row["fields"] for row in left] == ["owner_role"]  # no sync brings what it does not know


def _mirror(cli: Cli) -> tuple[str, str]:
    (row,) = _rows(cli)
    return row["action"], row["reason"]


def _rows(cli: Cli) -> list[Any]:
    found = cli.ok("show", "--where", f"record={HS_HAYS} and group=ownership", "--json").json["items"]
    return list(found)
