"""Who has to agree before an item is written, and before a passed limit is let through: `requires` and its default."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mappings.policy import ApprovalRule, ConflictPolicy

EVERY_GROUP = "*"
GUARD_OVERRIDE = "guard_override"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One item that is to be written, and who agreed to it."""

    item_id: str
    group: str
    account: tuple[str, str]  # connection, record id
    voices: Collection[str] = frozenset()  # verified persons whose newest word is yes
    is_named: bool = False  # of a named account


def missing(
    asks: Sequence[Ask],
    rules: Iterable[ApprovalRule],
    *,
    author: str,
    written: Iterable[tuple[str, tuple[str, str]]] = (),
) -> dict[str, str]:
    """Item id -> what is still missing, of the items that need more voices; in the order given.

    `written` are (group, account) that the same plan wrote already: they count into its size.
    """
    accounts: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for group, account in [*written, *((ask.group, ask.account) for ask in asks)]:
        accounts[group].add(account)
        accounts[EVERY_GROUP].add(account)
    listed = [(rule, len(accounts[rule.of]) > rule.accounts_over) for rule in rules]
    found: dict[str, str] = {}
    for ask in asks:
        reasons = [
            _lack(ask.voices, rule, author)
            for rule, is_large in listed
            if rule.of in (ask.group, EVERY_GROUP) and (is_large or (rule.named_accounts and ask.is_named))
        ]
        worst = next((reason for reason in reasons if reason), "")
        if worst:
            found[ask.item_id] = worst
    return found


class Author(StrEnum):
    """What is known of who made a plan."""

    PERSON = "person"  # verified by a token
    USER = "user"  # of the operating system: which human that is, nobody can tell
    DAEMON = "daemon"  # its schedule, without anybody's token


SECOND_PERSON = ApprovalRule.model_validate({"class": GUARD_OVERRIDE, "approvers": 1})
"""Where persons are known, a passed limit is let through by somebody else than who made the plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideTerms:
    """Who may let a passed limit of one plan through."""

    persons: int  # verified persons it takes; 0 = any one named person
    not_author: str = ""  # the verified person who made the plan and does not count; "" = everybody counts
    user: str = ""  # the unverified author: he may be anybody, so one person more is asked for; "" = he is known
    is_stated: bool = False  # the policy says it

    def counts(self, name: str) -> bool:
        """True where this verified person's word is heard."""
        return not self.not_author or name.casefold() != self.not_author.casefold()

    def lack(self, verified: Iterable[str], *, others: bool = False) -> str:
        """What is missing after these verified persons (and, with `others`, somebody else) spoke: "" = nothing."""
        heard = {name.casefold() for name in verified if self.counts(name)}
        if not self.persons:
            return "" if heard or others else "nobody spoke"
        missing = self.persons - len(heard)
        return _persons(missing) if missing > 0 else ""

    @property
    def says(self) -> str:
        """The terms in one sentence, with the way to others."""
        if not self.persons and self.is_stated:
            return "one named person is enough, verified or not, as policies/conflicts.yaml says"
        if not self.persons:
            return (
                "one named person is enough, unverified, as nobody is registered here; `platbook people add NAME "
                "--role admin` makes it a second person with a token of his own"
            )
        if self.not_author:
            return f"it takes {_persons(self.persons)} other than {self.not_author}, who made the plan"
        if self.user:
            return (
                f"it takes {_persons(self.persons)}, because {self.user}, who made the plan, is not verified and may "
                "be any of them; one fewer for a plan made with a token or by the daemon"
            )
        return f"it takes {_persons(self.persons)}"


def override_terms(policy: ConflictPolicy, *, has_persons: bool, author: str, kind: str | None) -> OverrideTerms:
    """Who may let limits of a plan through: as `requires` says; else a second person, once there are persons.

    `kind` is an Author, None where it was not noted. Where nobody can tell who made the plan, one of those who agree
    may have made it: one more has to.
    """
    stated = next((rule for rule in policy.requires if rule.of == GUARD_OVERRIDE), None)
    if stated is None and not (has_persons or policy.require_verified_person):
        return OverrideTerms(persons=0)
    rule = stated or SECOND_PERSON
    if not rule.approvers:
        return OverrideTerms(persons=1 if policy.require_verified_person else 0, is_stated=True)
    if not rule.not_author or kind == Author.DAEMON:
        return OverrideTerms(persons=rule.approvers, is_stated=stated is not None)
    if kind == Author.PERSON:
        return OverrideTerms(persons=rule.approvers, not_author=author, is_stated=stated is not None)
    return OverrideTerms(persons=rule.approvers + 1, user=author, is_stated=stated is not None)


def _persons(count: int) -> str:
    return "one verified person" if count == 1 else f"{count} verified persons"


def outvoted(latest: Mapping[str, bool]) -> frozenset[str]:
    """Persons whose newest word is yes; nobody where somebody's newest word is no."""
    return frozenset() if not all(latest.values()) else frozenset(latest)


def _lack(voices: Collection[str], rule: ApprovalRule, author: str) -> str:
    others = {voice for voice in voices if not (rule.not_author and voice.casefold() == author.casefold())}
    if len(others) >= rule.approvers:
        return ""
    who = "verified persons other than its author" if rule.not_author else "verified persons"
    return f"{rule.of} needs {rule.approvers} {who}; {len(others)} agreed"
