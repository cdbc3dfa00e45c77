"""Persons and tokens: who may in, what a refusal says, and that the database gives no token away."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from store import audit
from store.connections import Connections, Mode
from store.database import Database, StoreError
from store.decisions import Acceptance, Decisions, Person, Verdict
from store.persons import Persons, Role, reaches
from store.tables import token
from store.tokens import TokenRefused, Tokens
from store.voices import acceptances, voices

ROOT = Person(name="root")
ANA = Person(name="ana", is_verified=True, role="admin")


@pytest.fixture
def ana(database: Database) -> str:
    Persons(database).add("Ana", Role.ADMIN, by=ROOT, is_first=True)
    return Tokens(database).issue("ana", by=ANA)[1]


def kinds(database: Database) -> list[str]:
    with database.read() as conn:
        return [entry["kind"] for entry in audit.entries(conn)]


def test_a_token_names_its_person_and_his_role(database: Database, ana: str) -> None:
    found = Tokens(database).verify(ana, purpose="test")
    assert (found.name, found.is_verified, found.role) == ("ana", True, "admin")


def test_the_token_itself_is_nowhere_in_the_database(database: Database, ana: str) -> None:
    with database.read() as conn:
        rows = conn.execute(sa.select(token)).all()
        told = list(audit.entries(conn))
    assert ana not in repr(rows) + repr(told)
    assert len(ana) >= len("platbook_") + 43  # 256 bits in base64


def test_success_is_audited_once_a_day_and_every_refusal(database: Database, ana: str) -> None:
    tokens = Tokens(database)
    for _ in range(3):
        tokens.verify(ana, purpose="test")
        with pytest.raises(TokenRefused, match="not known here"):
            tokens.verify(ana + "x", purpose="test")
    assert kinds(database).count("login") == 1
    assert kinds(database).count("login_refused") == 3


def test_a_revoked_token_gives_no_access(database: Database, ana: str) -> None:
    assert Tokens(database).revoke("ana", by=ANA) == 1
    with pytest.raises(TokenRefused, match="revoked"):
        Tokens(database).verify(ana, purpose="test")


def test_an_expired_token_gives_no_access(database: Database, connect: Callable[[], Database], ana: str) -> None:
    later = connect()
    later.now = lambda: "2999-01-01T00:00:00.000Z"
    with pytest.raises(TokenRefused, match="expired"):
        Tokens(later).verify(ana, purpose="test")


def test_who_has_left_has_no_token(database: Database, ana: str) -> None:
    persons = Persons(database)
    persons.add("bea@acme.example", Role.APPROVER, by=ANA)
    secret = Tokens(database).issue("bea@acme.example", by=ANA)[1]
    persons.change("bea@acme.example", by=ANA, active=False)
    with pytest.raises(TokenRefused):
        Tokens(database).verify(secret, purpose="test")
    with pytest.raises(StoreError, match="no active person"):
        Tokens(database).issue("bea@acme.example", by=ANA)


def test_the_last_admin_stays(database: Database, ana: str) -> None:
    persons = Persons(database)
    for change in ({"role": Role.VIEWER}, {"active": False}):
        with pytest.raises(StoreError, match="last admin"):
            persons.change("ana", by=ANA, **change)
    assert persons.list()[0].role is Role.ADMIN
    assert Tokens(database).verify(ana, purpose="test")


def test_the_first_admin_is_only_the_first(database: Database, ana: str) -> None:
    with pytest.raises(StoreError, match="persons already"):
        Persons(database).add("mallory", Role.ADMIN, by=ROOT, is_first=True)


@pytest.mark.parametrize("name", ["", "  ", "a b", "<script>", "x" * 101])
def test_a_name_is_a_login_or_an_address(database: Database, name: str) -> None:
    with pytest.raises(StoreError, match="not a name"):
        Persons(database).add(name, Role.VIEWER, by=ROOT)


def test_the_owner_of_the_database_is_known(database: Database) -> None:
    assert Persons(database).refuse_owner() == ""


def test_a_role_can_do_what_the_roles_below_it_can() -> None:
    assert [[reaches(have, need) for need in Role] for have in Role] == [
        [True, False, False, False],
        [True, True, False, False],
        [True, True, True, False],
        [True, True, True, True],
    ]
    assert not reaches("", Role.VIEWER)


def test_a_connection_is_free_until_a_mode_is_set_and_keeps_it_at_first_contact(database: Database) -> None:
    connections = Connections(database)
    connections.pin("hubspot", kind="hubspot", org_id="1")
    connections.set_mode("salesforce", Mode.OBSERVE, kind="salesforce", by=ANA)
    assert connections.org_ids() == {"hubspot": "1"}
    connections.pin("salesforce", kind="salesforce", org_id="00D")
    assert connections.modes() == {"hubspot": Mode.AUTO, "salesforce": Mode.OBSERVE}
    assert connections.org_ids() == {"hubspot": "1", "salesforce": "00D"}


def say(database: Database, name: str, verdict: Verdict, *, is_verified: bool = True) -> None:
    Decisions(database).decide([("f", "i")], verdict, person=Person(name=name, is_verified=is_verified), reason="r")


def test_only_verified_persons_have_a_voice_and_the_newest_word_counts(database: Database) -> None:
    say(database, "ana", Verdict.APPROVE)
    say(database, "bea", Verdict.TAKE_OURS)
    say(database, "root", Verdict.APPROVE, is_verified=False)
    assert voices(database, ["f", "g"]) == {"f": {"ana", "bea"}}
    say(database, "bea", Verdict.REJECT)
    assert voices(database, ["f"]) == {"f": frozenset()}
    say(database, "bea", Verdict.APPROVE)
    assert voices(database, ["f"]) == {"f": {"ana", "bea"}}


def test_who_let_a_limit_through_is_known(database: Database) -> None:
    one = Acceptance(guard="clears", subject="hubspot", reason="r", by=ANA)
    Decisions(database).accept_guards("d", [one])
    found = acceptances(database, "d")
    assert [(one.guard, one.by.name, one.by.is_verified) for one in found] == [("clears", "ana", True)]
