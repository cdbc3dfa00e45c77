"""Schema of the limits: how much one plan, one day and one week may change before a second person looks."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mappings.schema import Header, Strict

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


class Limit(Strict):
    """The larger of a count and a share of the population (or of one rep's book)."""

    count: int
    share_bp: int = 0


class Window(Strict):
    """A time in which the limits are summed over plans, and how many times the limit the sum may reach."""

    hours: int = Field(ge=1, le=24 * 31)
    times: int = Field(default=1, ge=1)


class Freeze(Strict):
    """When nothing is written unless somebody accepts it, in the zone of PLATBOOK_TIMEZONE; all that is said holds."""

    id: str
    from_: str = Field(default="", alias="from")  # ISO date, the first day; empty = always
    until: str = ""  # ISO date, the last day; empty = no end
    weekdays: tuple[Weekday, ...] = ()  # none = every day
    hours: tuple[int, int] = (0, 24)  # from the first to the second, which is not in it; 22 to 6 goes over midnight


class ApiBudget(Strict):
    """How much of the calls that a CRM grants for a day is ours; in shares of them. The rest is other integrations'."""

    apply_bp: int = Field(default=3000, ge=1, le=10_000)  # one apply may be predicted to take
    reserve_bp: int = Field(default=2000, ge=0, le=9_999)  # is left to others, whatever happens


class GuardPolicy(Strict):
    """Limits of one plan."""

    policy: Header
    owner_changes: Limit
    owner_moves: Limit
    owner_lost_by_rep: Limit
    owner_gained_by_rep: Limit
    accounts_to_one_owner: Limit
    parent_changes: Limit
    any_field: Limit
    tier_downgrades: Limit
    clears: Limit
    first_contact: Limit
    named_accounts: Limit = Limit(count=0)  # owners and parents of accounts named in territories.yaml, or held as named
    windows: tuple[Window, ...] = (Window(hours=24, times=1), Window(hours=168, times=3))
    freeze: tuple[Freeze, ...] = ()
    api_budget: ApiBudget = ApiBudget()
    canaries: dict[str, tuple[str, ...]] = Field(default_factory=dict)  # connection -> ids of records always to be seen
