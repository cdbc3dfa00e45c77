"""The token kept by `platbook login`: for one database, for this user alone, and never an argument."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from jobs.persons import NotPermitted, identify, login, logout, require, require_admin, stored_token
from jobs.settings import Settings
from jobs.wiring import Wired
from store.decisions import Person
from store.persons import Persons, Role
from store.tokens import TokenRefused, Tokens

ROOT = Person(name="root")


@pytest.fixture
def wired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wired:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    made = Wired(settings=Settings(_env_file=None, database_url=f"sqlite:///{tmp_path / 'a.db'}"))  # type: ignore[call-arg]  # pydantic-settings' own keyword
    made.database.migrate()
    return made


def admin(wired: Wired) -> str:
    Persons(wired.database).add("ana", Role.ADMIN, by=ROOT, is_first=True)
    return Tokens(wired.database).issue("ana", by=ROOT)[1]


def test_a_kept_token_says_who_acts_until_it_is_forgotten(wired: Wired) -> None:
    secret = admin(wired)
    assert not identify(wired).is_verified
    person, path = login(wired, f"{secret}\n")
    assert (person.name, path.stat().st_mode & 0o777) == ("ana", 0o600)
    assert identify(wired).role == "admin"
    assert logout(wired)
    assert not logout(wired)
    assert not identify(wired).is_verified


def test_a_token_that_is_refused_is_not_kept(wired: Wired) -> None:
    with pytest.raises(TokenRefused):
        login(wired, "platbook_guess")
    assert stored_token(wired.database.subject) == ""


def test_a_token_belongs_to_its_database(wired: Wired, tmp_path: Path) -> None:
    login(wired, admin(wired))
    assert stored_token(wired.database.subject)
    assert stored_token(f"database sqlite:///{tmp_path / 'b.db'}") == ""
    assert stored_token("database sqlite:///a.db")  # the same file, named from its folder


def test_a_token_file_that_others_can_read_is_refused(wired: Wired) -> None:
    _, path = login(wired, admin(wired))
    path.chmod(0o644)
    with pytest.raises(TokenRefused, match="chmod 600"):
        identify(wired)


def test_a_token_in_the_environment_goes_first_and_never_falls_back(wired: Wired) -> None:
    login(wired, admin(wired))
    wired.settings = wired.settings.model_copy(update={"token": SecretStr("platbook_guess")})
    with pytest.raises(TokenRefused, match="not known here"):
        identify(wired)


def test_the_owner_of_the_database_may_again_when_no_admin_has_a_valid_token(wired: Wired) -> None:
    require_admin(wired, "test")
    admin(wired)
    with pytest.raises(NotPermitted):
        require_admin(wired, "test")
    Tokens(wired.database).revoke("ana", by=ROOT)
    require_admin(wired, "test")


def test_an_unverified_user_may_decide_where_nothing_else_is_asked_for_and_a_viewer_may_not(wired: Wired) -> None:
    require(wired, Role.APPROVER, "approve")
    wired.person = Person(name="vic", is_verified=True, role="viewer")
    with pytest.raises(NotPermitted, match="it takes approver"):
        require(wired, Role.APPROVER, "approve")
    wired.person = Person(name="x", is_verified=True, role="emperor")
    with pytest.raises(NotPermitted):
        require(wired, Role.VIEWER, "look")
