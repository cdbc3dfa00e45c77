"""The register of links by persons, and the evidence the crosswalk keeps: on SQLite and PostgreSQL."""

from __future__ import annotations

import pyarrow as pa
import pytest
import sqlalchemy as sa

from store import audit
from store.crosswalk import Crosswalk
from store.database import Database
from store.decisions import Person
from store.link_decisions import LinkDecisions, LinkVerdict

FIRM, RECORD = ("definitive", "100"), ("salesforce", "A")
MARIA = Person(name="maria@acme.example", is_verified=True)


def test_the_newest_word_on_a_pair_counts_whichever_party_comes_first(database: Database) -> None:
    register = LinkDecisions(database)
    register.decide([(FIRM, RECORD)], LinkVerdict.LINK, person=MARIA, reason="same campus")
    register.decide([(RECORD, FIRM)], LinkVerdict.NOT_LINK, person=MARIA, reason="two campuses")
    assert register.table().to_pylist() == [
        {
            "source": "definitive",
            "source_id": "100",
            "other_source": "salesforce",
            "other_id": "A",
            "verdict": "not_link",
        }
    ]


def test_every_word_stays_in_the_history_with_who_when_and_why(database: Database) -> None:
    register = LinkDecisions(database)
    register.decide([(FIRM, RECORD)], LinkVerdict.LINK, person=MARIA, reason="same campus")
    register.decide([(FIRM, RECORD)], LinkVerdict.NOT_LINK, person=MARIA, reason="two campuses")
    told = register.history(RECORD)
    assert [(one["verdict"], one["reason"], one["by"]) for one in told] == [
        ("link", "same campus", MARIA.name),
        ("not_link", "two campuses", MARIA.name),
    ]
    assert all(one["at"] for one in told)


def test_a_decision_about_a_link_is_in_the_audit(database: Database) -> None:
    LinkDecisions(database).decide([(FIRM, RECORD)], LinkVerdict.LINK, person=MARIA, reason="same campus")
    with database.read() as conn:
        (entry,) = [one for one in audit.entries(conn) if one["kind"] == "link_decided"]
    assert entry["actor"] == MARIA.label
    assert entry["body"]["reason"] == "same campus"


def test_a_party_cannot_be_linked_to_itself(database: Database) -> None:
    with pytest.raises(ValueError, match="cannot be linked to itself"):
        LinkDecisions(database).decide([(FIRM, FIRM)], LinkVerdict.LINK, person=MARIA, reason="r")


def test_the_crosswalk_keeps_the_evidence_of_the_run_that_made_a_link(database: Database) -> None:
    crosswalk = Crosswalk(database)
    columns = ("source", "source_id", "account_id", "how", "evidence")
    first = pa.Table.from_pylist([dict(zip(columns, ("salesforce", "A", "acc", "model", '{"score":1}'), strict=True))])
    later = pa.Table.from_pylist([dict(zip(columns, ("salesforce", "A", "acc", "crosswalk", "{}"), strict=True))])
    crosswalk.save(first)
    crosswalk.save(later)
    assert crosswalk.evidence("salesforce", "A") == '{"score":1}'
    assert crosswalk.evidence("salesforce", "B") is None


def test_the_migration_leaves_links_from_before_without_evidence(database: Database) -> None:
    with database.read() as conn:
        columns = {column["name"]: column for column in sa.inspect(conn).get_columns("crosswalk")}
    assert columns["evidence"]["nullable"]
