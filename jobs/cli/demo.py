"""platbook demo: the whole job on real hospitals, told step by step, and checked from outside."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer

from jobs.alert import send_waiting
from jobs.apply import apply_plan
from jobs.applying.model import ApplyResult, GuardStopped
from jobs.applying.wired import apply_deps
from jobs.cli.apply import acceptances, show_applied
from jobs.cli.decide import decide_rows
from jobs.cli.demo_world import DemoSandbox, moved_up, running_sandbox, someone_else
from jobs.cli.exits import Stop
from jobs.cli.feeds import show_taken
from jobs.cli.limits import stopped as stopped_by_guard
from jobs.cli.output import out, say
from jobs.cli.plan import previewed, show_rows, show_summary
from jobs.cli.pull import show_pull
from jobs.difflog import log_plan
from jobs.explain import explain_account
from jobs.feeds import declared, take_delivery
from jobs.plan import Planned, make_plan
from jobs.present import PlanView, view_plan
from jobs.pull import pull
from jobs.settings import HubSpotSettings, SalesforceSettings, Settings, SmtpSettings
from jobs.wiring import Wired
from store.decisions import Person, Verdict

APPROVER = Person(name="nora.isle@example.com")
REASON = "demo: reviewed with the regional managers"
RACES = 3
"""Accounts that somebody edits between plan and apply, per CRM and apply run."""

OutputOption = Annotated[
    Path, typer.Option("--output", help="Folder for the state, logs, mail and report; emptied first.")
]


def demo(output: OutputOption = Path("var/demo")) -> None:
    """Run the whole job against local sandboxes with real hospitals; ends by itself. Results in var/demo/."""
    _emptied(output)
    out.record = True
    with running_sandbox() as sandbox:
        wired = Wired(settings=_settings(sandbox, output), person=APPROVER)
        wired.database.migrate()
        _Story(wired=wired, sandbox=sandbox, output=output).tell()
    out.save_html(str(output / "report.html"), clear=False)
    out.save_text(str(output / "report.txt"))


def _emptied(folder: Path) -> None:
    marker = folder / ".platbook-demo"
    if folder.exists() and any(folder.iterdir()) and not marker.exists():
        raise Stop(f"{folder}: not empty and not made by the demo; name another folder with --output")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    marker.touch()


def _settings(sandbox: DemoSandbox, output: Path) -> Settings:
    word = "sandbox"  # the only credential the local sandbox knows
    return Settings(
        _env_file=None,
        database_url=f"sqlite:///{output / 'platbook.db'}",
        snapshot_url=str(output / "snapshots"),
        report_dir=output / "reports",
        mappings_dir=Path(str(files("sandbox") / "data" / "mappings")),
        salesforce=SalesforceSettings(login_url=sandbox.base_url, client_id=word, client_secret=word),
        hubspot=HubSpotSettings(base_url=sandbox.base_url, access_token=word),
        smtp=SmtpSettings(host=sandbox.smtp_host, port=sandbox.smtp_port, security="none"),
    )


@dataclass
class _Story:
    """The steps, and what must hold after each; a promise that does not hold ends the demo with an error."""

    wired: Wired
    sandbox: DemoSandbox
    output: Path
    edits: list[tuple[str, str, str]] = field(default_factory=list)  # connection, record, owner a person chose

    def tell(self) -> None:
        self._day_one()
        self._day_two()
        self._nothing_left()
        self._mail()
        self._sum_up()

    def _day_one(self) -> None:
        _step("1. Pull both CRMs", "platbook pull")
        show_pull(pull(self.wired))
        _step(
            "2. Take the market-intelligence feed of day 1, and what colleagues confirmed", "platbook feeds take FILE"
        )
        self._take("definitive_day1.csv.gz")
        self._take("confirmed_facts.csv", as_of="2020-06-01")
        _step("3. Plan: first contact with these fields, so a guard stops it", "platbook plan")
        planned = self._plan()
        self._must_stop(planned)
        _step("4. Approve as a named person, let first contact through, apply", "platbook approve; platbook apply")
        self._approve(planned, ("approve", "review"))
        self._people_edit(planned)
        self._apply(planned)

    def _day_two(self) -> None:
        _step(
            "5. Two years later: hospitals were bought and sold, people worked in the CRM", "platbook feeds take FILE"
        )
        self._take("definitive_day2.csv.gz")
        self._take_recent("sixsense.csv")
        self._take_recent("crm_contacts.csv")
        show_pull(pull(self.wired))
        _step("6. Plan again: systems moved; what people changed is a conflict, not ours to overwrite", "platbook plan")
        planned = self._plan()
        self._explain_one(planned)
        _step("7. Approve what nobody touched, leave the rest to those concerned, apply", "platbook approve; apply")
        self._approve(planned, ("approve",))
        self._people_edit(planned)
        self._apply(planned)

    def _nothing_left(self) -> None:
        _step("8. Pull, plan and apply once more: nothing is left to write", "platbook sync")
        pull(self.wired)
        planned = self._plan()
        before = self.sandbox.writes()
        result = apply_plan(apply_deps(self.wired), planned.stored.id, person=APPROVER)
        show_applied(self.wired, result)
        written = self.sandbox.writes() - before
        say(f"write requests in the sandboxes' own log: {written}", style="bold")
        _hold(written == 0, f"the last apply made {written} write requests; expected none")
        waiting = [row for row in view_plan(self.wired, planned.stored.id).rows() if row["action"] == "review"]
        if waiting:
            say("what people changed by hand waits for a person's decision, with all three values:")
            show_rows(waiting, 12)

    def _mail(self) -> None:
        _step("9. The ownership e-mail, as the local mail server received it", "")
        mails = self.sandbox.mails()
        _hold(bool(mails), "no ownership e-mail arrived")
        say(f"{len(mails)} mails received; written to {self.wired.settings.report_dir}")
        for mail in mails:
            say(f"  to {', '.join(mail['recipients'])}: {mail['subject']}")

    def _sum_up(self) -> None:
        _step("In short", "")
        kept = sum(self.sandbox.owner(c, r) == owner for c, r, owner in self.edits)
        say(f"edits by people between plan and apply: {len(self.edits)}, still as they left them: {kept}", style="bold")
        _hold(kept == len(self.edits), f"{len(self.edits) - kept} edits by people were overwritten")
        say(f"state, diff logs, mail and this report: {self.output}/")

    def _take(self, name: str, *, as_of: str = "") -> None:
        path = Path(str(files("sandbox") / "data" / "feeds" / name))
        show_taken(take_delivery(self.wired, path, declared(self.wired, path, layout="", as_of=as_of, encoding="")))

    def _take_recent(self, name: str) -> None:
        """Take made-up signals or people as if they were of these days."""
        today = date.fromisoformat(self.wired.as_of())
        path = moved_up(Path(str(files("sandbox") / "data" / "feeds" / name)), self.output / "feeds", to=today)
        delivery = declared(self.wired, path, layout="", as_of=today.isoformat(), encoding="")
        show_taken(take_delivery(self.wired, path, delivery))

    def _plan(self) -> Planned:
        planned = make_plan(self.wired)
        view = previewed(self.wired, planned.stored.id)
        show_summary(view, planned.problems)
        self._blocked(view)
        return planned

    def _blocked(self, view: PlanView) -> None:
        """Changes that may not be written, with the reason."""
        blocked = [row for row in view.rows() if row["action"] == "blocked"]
        if blocked:
            say()
            say("Blocked, with the reason; nothing of these is written:")
            show_rows(blocked, 3)

    def _must_stop(self, planned: Planned) -> None:
        say()
        say("$ platbook apply", style="bold cyan")
        try:
            apply_plan(apply_deps(self.wired), planned.stored.id, person=APPROVER)
        except GuardStopped as stopped:
            say(stopped_by_guard(f"plan {planned.stored.id}", stopped.breached))
        else:
            raise Stop("demo: first contact was not stopped by its guard")
        _hold(self.sandbox.writes() == 0, "something was written although a guard stopped the plan")

    def _approve(self, planned: Planned, actions: tuple[str, ...]) -> None:
        """Approve the items that wait with these actions."""
        rows = [row for row in view_plan(self.wired, planned.stored.id).rows() if row["action"] in actions]
        if rows:
            decide_rows(self.wired, planned.stored.id, rows, Verdict.APPROVE, reason=REASON)
        say(f"{APPROVER.name} approved {len(rows):,} items: {REASON}")

    def _people_edit(self, planned: Planned) -> None:
        """While the plan waits, somebody gives some of its accounts to somebody else."""
        rows = [r for r in view_plan(self.wired, planned.stored.id).rows() if "owner" in r["fields"].split(",")]
        for connection in self.wired.kinds:
            racing = [row for row in rows if row["connection"] == connection and row["action"] in ("approve", "review")]
            for row in racing[:RACES]:
                self._give_away(planned, row)
        say(f"meanwhile, in the CRMs: {len(self.edits)} accounts given to somebody else by hand so far")

    def _give_away(self, planned: Planned, row: dict[str, Any]) -> None:
        connection, record = row["connection"], row["record"]
        snapshot = self.wired.snapshots.current(connection, "user")
        users = self.wired.snapshots.read(snapshot).to_pylist() if snapshot else []
        change = _owner_change(planned, row["item"])
        ours = str(snapshot.meta.get("our_user", "")) if snapshot else ""
        to = someone_else(users, than=(ours, change["crm"] or "", change["desired"] or ""))
        self.sandbox.edit_owner(connection, record, to=to, by=someone_else(users, than=(ours, to)))
        self.edits = [edit for edit in self.edits if edit[:2] != (connection, record)] + [(connection, record, to)]

    def _apply(self, planned: Planned) -> ApplyResult:
        breached = sorted({guard.guard for guard in planned.guards if guard.breached})
        accepted = acceptances(self.wired, planned.stored.id, breached, REASON)
        for guard in breached:
            say(f"{APPROVER.name} lets the guard {guard} through for this plan: {REASON}")
        result = apply_plan(apply_deps(self.wired), planned.stored.id, person=APPROVER, accept=accepted)
        show_applied(self.wired, result)
        say(f"diff log: {log_plan(self.wired, planned.stored.id, run_id=result.run_id)['xlsx']}")
        send_waiting(self.wired)
        return result

    def _explain_one(self, planned: Planned) -> None:
        """Explain the first hospital whose system changed."""
        events = [event for event in planned.stored.events.to_pylist() if event["kind"] == "moved_system"]
        if not events:
            return
        chosen = events[0]["account_id"]
        say()
        say(f"$ platbook explain {chosen}", style="bold cyan")
        for one in explain_account(self.wired, planned.stored.id, chosen)[:1]:
            say(one.heading, style="bold")
            for line in one.lines:
                say(f"  {line}")


def _owner_change(planned: Planned, item_id: str) -> dict[str, Any]:
    rows: Sequence[dict[str, Any]] = planned.stored.changes.to_pylist()
    return next(row for row in rows if row["item_id"] == item_id and row["field"] == "owner")


def _step(title: str, command: str) -> None:
    say()
    say(title, style="bold green")
    if command:
        say(f"$ {command}", style="bold cyan")


def _hold(holds: bool, message: str) -> None:
    if not holds:
        raise Stop(f"demo: {message}")
