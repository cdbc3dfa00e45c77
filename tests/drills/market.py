"""A market of hospitals in both CRMs, an installation that works on it day by day, and a calendar of its own."""

from __future__ import annotations

import copy
import csv
import io
import random
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from connectors.csv_feed.contract import Verdict as FeedVerdict
from jobs.apply import apply_plan
from jobs.applying.wired import apply_deps
from jobs.feeds import declared, take_delivery
from jobs.plan import make_plan
from jobs.pull import pull
from jobs.settings import Settings
from jobs.wiring import Wired
from sandbox.salesforce.ids import make_id
from sandbox.server import Sandbox
from sandbox.world import World
from store.database import Database, instant
from store.decisions import Acceptance, Person, Verdict
from store.plans import PlanStatus, StoredPlan

STATES = ("KS", "TX", "CO", "UT")
REPS = {state: make_id("005", 100 + number) for number, state in enumerate(STATES)}
HUBSPOT_REPS = {state: str(70 + number) for number, state in enumerate(STATES)}
HOSPITALS = 8  # of each health system
HEADER = ("Definitive ID", "Hospital Name", "Firm Type", "Hospital Type", "City", "State", "Zip Code")
HEADER += ("IDN ID", "IDN", "IDN Parent ID", "IDN Parent", "Medicare Provider Number", "# of Staffed Beds")
MARIA = Person(name="maria")


@dataclass(kw_only=True)
class Calendar:
    """The instant that everybody goes by: days go as the drill says, seconds by themselves."""

    at: datetime = datetime(2026, 3, 2, 7, tzinfo=UTC)
    started: float = field(default_factory=time.monotonic)

    def now(self) -> datetime:
        return self.at + timedelta(seconds=time.monotonic() - self.started)

    def tomorrow(self) -> None:
        self.at += timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Why nothing more happened on a day; "" = nothing stopped it."""

    at: str = ""
    why: str = ""


@dataclass(kw_only=True)
class Market:
    """An installation beside its CRMs."""

    folder: Path
    sandbox: Sandbox
    systems: int = 40  # health systems
    calendar: Calendar = field(default_factory=Calendar)
    rows: list[dict[str, str]] = field(default_factory=list)  # what the vendor knows

    @property
    def world(self) -> World:
        return self.sandbox.world

    def wired(self) -> Wired:
        """The parts of one process, on the calendar's day."""
        base = self.sandbox.base_url
        settings = Settings(
            _env_file=None,  # type: ignore[call-arg]  # pydantic-settings' own keyword
            database_url=f"sqlite:///{self.folder / 'state.db'}",
            snapshot_url=str(self.folder / "snapshots"),
            mappings_dir=self.folder / "mappings",
            salesforce={"login_url": base, "client_id": "sandbox", "client_secret": "sandbox", "team_lane": "soap"},  # type: ignore[arg-type]
            hubspot={"base_url": base, "access_token": "sandbox"},  # type: ignore[arg-type]  # read as from variables
        )
        wired = Wired(settings=settings, person=MARIA, now=self.calendar.now)
        wired.__dict__["database"] = Database(settings.database_url, now=lambda: instant(self.calendar.now()))
        return wired

    def deliver(self, *, rows: list[dict[str, str]] | None = None, header: tuple[str, ...] = HEADER) -> Path:
        """Write the vendor's file of the day."""
        path = self.folder / "definitive_firms.csv"
        made = io.StringIO()
        lines = csv.writer(made)
        lines.writerow(header)
        lines.writerows([[row[name] for name in HEADER] for row in (self.rows if rows is None else rows)])
        path.write_text(made.getvalue(), encoding="utf-8")
        return path

    def work(self, path: Path | None = None, *, accept: tuple[str, ...] = ()) -> Stop:
        """A day: pull, take what was delivered, plan, have everything approved, apply. Gives what stopped first."""
        wired = self.wired()
        try:
            try:
                pull(wired)
            except Exception as error:  # whatever refuses the day is what the drill looks for
                return Stop(at="pull", why=f"{type(error).__name__}: {error}")
            held = self._take(wired, path) if path is not None else ""
            plan = make_plan(wired).stored
            approve_all(wired, plan)
            stop = self._apply(wired, plan, accept)
            if plan.status is PlanStatus.PAUSED_BY_GUARD and not accept:
                breached = {one["guard"] for one in plan.header.guards if one["breached"]}
                stop = Stop(at="plan", why=", ".join(sorted(breached)))
            return Stop(at="delivery", why=held) if held else stop
        finally:
            wired.database.close()

    def _take(self, wired: Wired, path: Path) -> str:
        said = declared(wired, path, layout="definitive", as_of=wired.as_of(), encoding="utf-8")
        intake = take_delivery(wired, path, said).intake
        is_used = intake.verdict in (FeedVerdict.ACCEPT, FeedVerdict.QUARANTINE_ROWS)
        return "" if is_used else f"{intake.verdict.value}: {', '.join(sorted(intake.counts))}"

    def _apply(self, wired: Wired, plan: StoredPlan, accept: tuple[str, ...]) -> Stop:
        given = [Acceptance(guard=one, subject="", reason="first contact", by=MARIA) for one in accept]
        try:
            result = apply_plan(apply_deps(wired), plan.id, person=MARIA, accept=_by_subject(plan, given))
        except Exception as error:  # whatever refuses the day is what the drill looks for
            return Stop(at="apply", why=f"{type(error).__name__}: {error}")
        return Stop(at="apply", why=result.halted) if result.halted else Stop()

    def copied(self, folder: Path) -> Market:
        """The same market once more, in another folder, its CRMs as they are now."""
        shutil.copytree(self.folder, folder)
        twin = World(now=self.calendar.now)
        for name in ("tables", "organization_id"):
            setattr(twin, name, copy.deepcopy(getattr(self.world, name)))
        self.sandbox.use(twin)
        rows = [dict(row) for row in self.rows]
        calendar = copy.copy(self.calendar)
        return Market(folder=folder, sandbox=self.sandbox, systems=self.systems, calendar=calendar, rows=rows)


def opened(folder: Path, sandbox: Sandbox, *, systems: int = 40, seed: int = 0) -> Market:
    """A market after first contact: pulled, delivered, planned, approved and applied once, then quiet."""
    market = Market(folder=folder, sandbox=sandbox, systems=systems)
    world = World(seed=seed, now=market.calendar.now)
    fill(market, world, random.Random(seed))
    sandbox.use(world)
    folder.mkdir(parents=True, exist_ok=True)
    write_mappings(folder / "mappings")
    market.wired().database.migrate()
    for accept in (FIRST, FIRST):
        stop = market.work(market.deliver(), accept=accept)
        assert not stop.at, stop
        market.calendar.at += timedelta(days=14)  # first contact is out of every window by then
    return market


FIRST = ("*",)


def _by_subject(plan: StoredPlan, given: list[Acceptance]) -> list[Acceptance]:
    """One acceptance for everything that the plan breaches."""
    return [
        Acceptance(guard=one["guard"], subject=one["subject"], reason=given[0].reason, by=given[0].by)
        for one in plan.header.guards
        if given and one["breached"]
    ]


def approve_all(wired: Wired, plan: StoredPlan) -> None:
    """A person agrees to whatever the plan asks, unread."""
    for action, said in (("approve", Verdict.APPROVE), ("auto", Verdict.APPROVE), ("review", Verdict.TAKE_OURS)):
        chosen = [(one["fingerprint"], one["item_id"]) for one in plan.items.to_pylist() if one["action"] == action]
        if chosen:
            wired.decisions.decide(chosen, said, person=MARIA, reason="looks fine", plan_id=plan.id)


def write_mappings(folder: Path, *, one_rep: str = "", no_tiers: bool = False) -> None:
    """The overlay: a representative per state; `one_rep` has all states; `no_tiers`: nobody meets one."""
    folder.mkdir(exist_ok=True)
    lines = [_policy("reps"), "reps:"]
    for state in STATES:
        states = ", ".join(STATES) if state == one_rep else state
        role = "PRIMARY" if not one_rep or state == one_rep else "GEO"
        who = f"email: {state.lower()}@people.example, name: Rep {state}"
        lines.append(f"  - {{{who}, role: {role}, states: [{states}]}}")
    (folder / "reps.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    regions = ", ".join(STATES)
    (folder / "territories.yaml").write_text(
        f"{_policy('territories')}\nowner_order: [named, state_primary, state_geo]\nnamed_accounts: {{}}\n"
        f"territories:\n  - {{id: WEST, name: West, states: [{regions}]}}\n",
        encoding="utf-8",
    )
    _overlay(folder, "conflicts.yaml", {"block_owner_change_with_team: true": "block_owner_change_with_team: false"})
    if no_tiers:
        systems = "[org_type, [IDN, COMMUNITY_SYSTEM]]"
        groups = {"[org_type, IDN]": "[org_type, PHYSICIAN_GROUP]", systems: "[org_type, [PHYSICIAN_GROUP]]"}
        _overlay(folder, "tiers.yaml", groups)


def _overlay(folder: Path, name: str, words: Mapping[str, str]) -> None:
    """A copy of a shipped policy with other words in it."""
    text = (Path(__file__).parents[2] / "mappings" / "policies" / name).read_text(encoding="utf-8")
    for old, new in words.items():
        assert old in text, old
        text = text.replace(old, new)
    (folder / name).write_text(text, encoding="utf-8")


def _policy(name: str) -> str:
    return f"policy: {{id: {name}, version: 1, owner: sales operations, effective_from: 2020-01-01}}"


def fill(market: Market, world: World, dice: random.Random, *, moved: int = 0) -> None:
    """Load both CRMs. Everybody's owner is the representative of the state, or so many states further on."""
    world.load("salesforce", "User", [_user(REPS[state], state) for state in STATES])
    world.load("hubspot", "owners", [_owner(HUBSPOT_REPS[state], state) for state in STATES])
    accounts: list[dict[str, Any]] = []
    companies: list[dict[str, Any]] = []
    for system in range(market.systems):
        state, held_by = STATES[system % len(STATES)], STATES[(system + moved) % len(STATES)]
        for number in range(HOSPITALS + 1):
            row = hospital(system, number, dice.randrange(60, 400))
            market.rows.append(row)
            place = {"BillingCity": row["City"], "BillingState": state, "BillingPostalCode": row["Zip Code"]}
            about = {"Id": account_id(system, number), "Name": row["Hospital Name"], "OwnerId": REPS[held_by], **place}
            accounts.append({**about, "Definitive_ID__c": row["Definitive ID"]})
            if number % 4 == 1:
                place = {"city": row["City"], "state": state, "zip": row["Zip Code"], "name": row["Hospital Name"]}
                owner = {"hubspot_owner_id": HUBSPOT_REPS[held_by], "definitive_id": row["Definitive ID"]}
                companies.append({"hs_object_id": str(5_000 + 10 * system + number), **place, **owner})
    world.load("salesforce", "Account", accounts)
    world.load("hubspot", "companies", companies)


_CCN_STATES, _PER_STATE = ("17", "06", "46"), 90
"""Prefixes of certification numbers, and systems a prefix: so hospitals stay within the short-term ones, 0001-0879."""


def hospital(system: int, number: int, beds: int) -> dict[str, str]:
    """A row of the vendor; number 0 is the system itself."""
    state, top = STATES[system % len(STATES)], str(9_000 + 100 * system)
    name = f"Network {system:02d} Health" if number == 0 else f"Network {system:02d} Hospital {number}"
    kind = ("IDN", "") if number == 0 else ("Hospital", "Short Term Acute Care Hospital")
    group = f"Network {system:02d} Health"
    place = (f"City {system:02d}{number}", state, f"{60_000 + 40 * system + number}")
    serial = (system % _PER_STATE) * (HOSPITALS + 1) + number
    ccn = "" if number == 0 else f"{_CCN_STATES[system // _PER_STATE]}{serial:04d}"
    cells = (str(int(top) + number), name, *kind, *place, top, group, top, group, ccn, str(beds) if number else "")
    return dict(zip(HEADER, cells, strict=True))


def account_id(system: int, number: int) -> str:
    return make_id("001", 1_000 + 100 * system + number)


def _user(user_id: str, state: str) -> dict[str, Any]:
    email = f"{state.lower()}@people.example"
    shown = {"Id": user_id, "Name": f"Rep {state}", "Email": email, "Username": email}
    return {**shown, "IsActive": True, "UserType": "Standard"}


def _owner(owner_id: str, state: str) -> dict[str, Any]:
    person = {"firstName": "Rep", "lastName": state, "email": f"{state.lower()}@people.example"}
    return {"hs_object_id": owner_id, "userId": int(owner_id) + 9000, "archived": False, **person}
