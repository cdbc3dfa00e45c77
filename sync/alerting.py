"""What the ownership digest says: moves between people, who gained and lost, and what still needs a decision."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sync.planning.threeway import Action, State

Row = Mapping[str, Any]

NOBODY = "nobody"
"""Shown where a record had no owner, or has none after the change."""

ASKING = frozenset({State.CONFLICT, State.TAKEOVER, State.DRIFT, State.OVERRIDE_LAPSED})
"""States in which a person chooses between values."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Person:
    """A user of one CRM as people know them; one person may be a user of both."""

    name: str
    email: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedAccount:
    """One account that changed owner."""

    account: str  # its name, or its record id where names are redacted
    connection: str
    record_id: str
    kind: str  # moved_system, joined_system, left_system, owner_change
    old_system: str
    new_system: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """All accounts that went from one person to another."""

    from_rep: Person
    to_rep: Person
    accounts: tuple[MovedAccount, ...]  # by name


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """What one person gained or lost: the moves on that side, largest first."""

    rep: Person
    moves: tuple[Move, ...]

    @property
    def accounts(self) -> int:
        """Accounts in all moves."""
        return sum(len(move.accounts) for move in self.moves)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenQuestion:
    """One owner that a person has to decide on, with the three values."""

    account: str
    connection: str
    item_id: str
    state: str
    agreed: str
    in_crm: str
    proposed: str
    changed_by: str
    changed_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnershipDigest:
    """The content of one mail per plan and recipient."""

    plan_id: str
    accounts: int  # records that changed owner
    reps: int  # people who gained or lost
    systems_moved: int  # accounts whose health system changed
    moves: tuple[Move, ...]  # largest first, at most `top_moves`
    moves_left_out: int
    lost: tuple[Book, ...]  # by from-rep, largest first
    gained: tuple[Book, ...]  # by to-rep, largest first
    questions: tuple[OpenQuestion, ...]  # at most `top_questions`
    questions_total: int
    blocked: int  # owner changes that could not be written

    @property
    def subject(self) -> str:
        """Subject line; names no account."""
        noun = "owner change" if self.accounts == 1 else "owner changes"
        asks = f", {self.questions_total} need a decision" if self.questions_total else ""
        return f"[Platbook] {self.accounts:,} {noun} applied{asks} (plan {self.plan_id})"


def ownership_digest(
    events: Iterable[Row],
    changes: Iterable[Row],
    people: Mapping[tuple[str, str], Person],
    *,
    plan_id: str,
    redact: bool = False,
    top_moves: int = 10,
    top_questions: int = 5,
) -> OwnershipDigest:
    """The digest of one plan: applied owner events (OWNERSHIP_EVENTS) and its rows that are still open (CHANGES).

    `people` leads from (connection, user id) to the person; an id it does not know is shown as it is. The order of the
    rows given does not matter.
    """
    shown = _shown(redact)
    moves = _moves(list(events), people, shown)
    owners = [row for row in changes if row["field"] == "owner"]
    questions = _questions(owners, people, shown)
    moved = [account for move in moves for account in move.accounts]
    return OwnershipDigest(
        plan_id=plan_id,
        accounts=len(moved),
        reps=len({rep for move in moves for rep in (move.from_rep, move.to_rep)} - {Person(name=NOBODY)}),
        systems_moved=sum(account.kind != "owner_change" for account in moved),
        moves=moves[:top_moves],
        moves_left_out=max(0, len(moves) - top_moves),
        lost=_books(moves, lambda move: move.from_rep),
        gained=_books(moves, lambda move: move.to_rep),
        questions=questions[:top_questions],
        questions_total=len(questions),
        blocked=sum(row["action"] == Action.BLOCKED for row in owners),
    )


def _shown(redact: bool) -> Callable[[Row], str]:
    return lambda row: row["record_id"] if redact else row.get("account_name") or row["record_id"]


def _moves(
    events: Sequence[Row], people: Mapping[tuple[str, str], Person], shown: Callable[[Row], str]
) -> tuple[Move, ...]:
    """Moves, largest first, then by names."""
    found: dict[tuple[Person, Person], list[MovedAccount]] = defaultdict(list)
    for row in events:
        pair = _person(row, "from_user", people), _person(row, "to_user", people)
        found[pair].append(
            MovedAccount(
                account=shown(row),
                connection=row["connection"],
                record_id=row["record_id"],
                kind=row["kind"],
                old_system=row.get("old_system") or "",
                new_system=row.get("new_system") or "",
            )
        )
    moves = [
        Move(from_rep=a, to_rep=b, accounts=tuple(sorted(accounts, key=_account_order)))
        for (a, b), accounts in found.items()
    ]
    return tuple(sorted(moves, key=lambda move: (-len(move.accounts), move.from_rep, move.to_rep)))


def _account_order(account: MovedAccount) -> tuple[str, str, str]:
    return account.account, account.connection, account.record_id


def _books(moves: Iterable[Move], side: Callable[[Move], Person]) -> tuple[Book, ...]:
    found: dict[Person, list[Move]] = defaultdict(list)
    for move in moves:
        found[side(move)].append(move)
    books = [Book(rep=rep, moves=tuple(listed)) for rep, listed in found.items() if rep.name != NOBODY]
    return tuple(sorted(books, key=lambda book: (-book.accounts, book.rep)))


def _questions(
    owners: Iterable[Row], people: Mapping[tuple[str, str], Person], shown: Callable[[Row], str]
) -> tuple[OpenQuestion, ...]:
    asked = [row for row in owners if row["action"] == Action.REVIEW and row["state"] in ASKING]
    questions = [
        OpenQuestion(
            account=shown(row),
            connection=row["connection"],
            item_id=row["item_id"],
            state=row["state"],
            agreed=_person(row, "base", people).name if row["base_kind"] == "value" else "never agreed",
            in_crm=_person(row, "crm", people).name,
            proposed=_person(row, "desired", people).name,
            changed_by=people.get((row["connection"], row["actor"] or ""), Person(name=row["actor"] or "unknown")).name,
            changed_at=row["changed_at"] or "",
        )
        for row in asked
    ]
    order = [State.CONFLICT, State.DRIFT, State.OVERRIDE_LAPSED, State.TAKEOVER]
    return tuple(sorted(questions, key=lambda q: (order.index(State(q.state)), q.account, q.connection, q.item_id)))


def _person(row: Row, column: str, people: Mapping[tuple[str, str], Person]) -> Person:
    user = row.get(column)
    if not user:
        return Person(name=NOBODY)
    return people.get((row["connection"], user), Person(name=user))
