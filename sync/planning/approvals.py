"""Who has to agree before an item is written: the rules of `requires` in the conflict policy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mappings.policy import ApprovalRule

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


def may_override(voices: Collection[str], rules: Iterable[ApprovalRule], *, author: str) -> str:
    """What is missing before a passed limit is let through: "" when nothing is."""
    reasons = (_lack(voices, rule, author) for rule in rules if rule.of == GUARD_OVERRIDE)
    return next((reason for reason in reasons if reason), "")


def outvoted(latest: Mapping[str, bool]) -> frozenset[str]:
    """Persons whose newest word is yes; nobody where somebody's newest word is no."""
    return frozenset() if not all(latest.values()) else frozenset(latest)


def _lack(voices: Collection[str], rule: ApprovalRule, author: str) -> str:
    others = {voice for voice in voices if not (rule.not_author and voice.casefold() == author.casefold())}
    if len(others) >= rule.approvers:
        return ""
    who = "verified persons other than its author" if rule.not_author else "verified persons"
    return f"{rule.of} needs {rule.approvers} {who}; {len(others)} agreed"
