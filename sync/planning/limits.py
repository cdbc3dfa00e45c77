"""The limits by name: what each counts, how a figure is judged against it, and the words for it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from mappings.policy import Limit
from sync.world import GuardResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One guard: what it counts, in whose words, and what a person can do about a breach."""

    guard: str
    unit: str
    remedy: str


OWNER_CHANGES = Rule(
    guard="owner_changes", unit="accounts change owner", remedy="check territories and the hierarchy changes behind it"
)
OWNER_MOVES = Rule(guard="owner_moves", unit="moves between two owners", remedy="check territories and the roster")
OWNER_LOST = Rule(guard="owner_lost_by_rep", unit="accounts leave this owner", remedy="check the roster and the states")
OWNER_GAINED = Rule(guard="owner_gained_by_rep", unit="accounts come to this owner", remedy="check the states worked")
ONE_OWNER = Rule(
    guard="accounts_to_one_owner", unit="accounts go to one owner", remedy="check for a catch-all rule or a wrong id"
)
PARENTS = Rule(guard="parent_changes", unit="parents change", remedy="check the newest delivery's system columns")
ANY_FIELD = Rule(guard="any_field", unit="values of this field change", remedy="check the rule that sets it")
DOWNGRADES = Rule(
    guard="tier_downgrades", unit="accounts lose tier", remedy="check the delivery for missing volumes or shares"
)
CLEARS = Rule(
    guard="clears", unit="agreed values are emptied", remedy="check the feed, or set clear: auto for the field"
)
NAMED = Rule(
    guard="named_accounts",
    unit="owners or parents of named accounts change",
    remedy="check named_accounts in territories.yaml and the hierarchy",
)
FIRST = Rule(
    guard="first_contact",
    unit="values are set where nothing was ever agreed",
    remedy="read them, then accept this guard once for the field",
)
FREEZE = Rule(guard="freeze", unit="items would be written in a freeze", remedy="apply after it, or change guards.yaml")
DRIFT = Rule(
    guard="permission_drift",
    unit="fields that were agreed can no longer be read or written",
    remedy="give the integration user its access back: `platbook doctor`",
)
CANARY = Rule(
    guard="canary",
    unit="records that must always be there are not",
    remedy="check whose credentials these are and what they may see",
)


RULES: tuple[Rule, ...] = (
    OWNER_CHANGES, OWNER_MOVES, OWNER_LOST, OWNER_GAINED, ONE_OWNER, PARENTS, ANY_FIELD, DOWNGRADES, CLEARS, NAMED,
    FIRST, FREEZE, DRIFT, CANARY,
)  # fmt: skip
_UNITS = {rule.guard: rule.unit for rule in RULES}


def label_of(hours: int) -> str:
    """A window as it ends a guard's name: 24h, 7d."""
    days, rest = divmod(hours, 24)
    return f"{days}d" if not rest and days > 1 else f"{hours}h"


def summed(rule: Rule, hours: int) -> Rule:
    """The same guard over all plans of a window."""
    return replace(rule, guard=f"{rule.guard}_{label_of(hours)}", unit=f"{rule.unit} within {label_of(hours)}")


def unit_of(guard: str) -> str:
    """What a guard counts, in words; "" for a name that no guard has."""
    if guard in _UNITS:
        return _UNITS[guard]
    base, _, label = guard.rpartition("_")
    return f"{_UNITS[base]} within {label}" if base in _UNITS else ""


def limit_of(limit: Limit, population: int) -> int:
    """The larger of the count and the share, the share rounded down."""
    return max(limit.count, population * limit.share_bp // 10_000)


def judged(
    rule: Rule, subject: str, measured: int, *, population: int = 0, limit: int = 0, accepted: Collection[str] = ()
) -> GuardResult:
    """A figure held against its limit. `accepted` are guard ids, or prefixes of them ending at a colon."""
    over = measured > limit
    let_through = over and _is_accepted(f"{rule.guard}:{subject}", accepted)
    return GuardResult(
        guard=rule.guard,
        subject=subject,
        measured=measured,
        population=population,
        limit=limit,
        breached=over and not let_through,
        message=_message(rule, subject, (measured, population, limit), over=over, accepted=let_through),
    )


def _is_accepted(name: str, accepted: Collection[str]) -> bool:
    parts = name.split(":")
    return any(":".join(parts[: i + 1]) in accepted for i in range(len(parts)))


def _message(rule: Rule, subject: str, figures: tuple[int, int, int], *, over: bool, accepted: bool) -> str:
    measured, population, allowed = figures
    share = f" of {population:,} ({_percent(measured, population)})" if population else ""
    fact = f"{subject}: {measured:,}{share} {rule.unit}, limit {allowed:,}."
    if accepted:
        return f"{fact} Accepted for this plan."
    if not over:
        return fact
    return f"{fact} Nothing is written until somebody accepts {rule.guard}:{subject} for this plan; {rule.remedy}."


def _percent(measured: int, population: int) -> str:
    tenths = measured * 1000 // population
    return f"{tenths // 10}.{tenths % 10} %"
