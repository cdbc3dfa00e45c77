"""Route leads: read them, gather what is known on their day, let the core decide, keep what decides them again."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

from jobs.wiring import Wired
from jobs.world import Loaded, load_world
from mappings.expressions import Scalar, near
from mappings.leads import LEAD_FACTS, Lead
from mappings.located import Document
from mappings.models import validate
from mappings.transforms import iso_date, whole_number, yes_no
from store.routed import Decided, StoredRouting
from sync.reconcile import find_out
from sync.territory.lead_book import LeadBook, Sources
from sync.territory.lead_records import basis_text, inputs_text, read_routed, replay, routed_text
from sync.territory.leads import Inputs, Outcome, Routed, route_lead

MAX_BYTES = 64 << 20
SYSTEM = "owner_parent"
"""Assumption: the account belonged to the system of this account."""

Progress = Callable[[str, int, int | None], None]


class LeadError(ValueError):
    """Leads or assumptions that cannot be read; says where, and what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A lead and where it goes."""

    id: str  # of the decision; empty = not kept
    lead: Lead
    as_of: str
    routed: Routed

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, stable keys."""
        found = json.loads(routed_text(self.routed))
        return {"decision": self.id, "lead": self.lead.id, "as_of": self.as_of, **found}

    def as_row(self) -> dict[str, str]:
        """One line of a table."""
        routed = self.routed
        return {
            "lead": self.lead.id,
            "organisation": self.lead.organisation,
            "outcome": routed.outcome.value,
            "assignee": routed.assignee or "",
            "as": routed.assigned_as or "",
            "collaborators": ", ".join(one.email for one in routed.collaborators),
            "queue": routed.queue or "",
            "account": routed.account_id or "",
            "account_name": routed.account_name or "",
            "rule": routed.rule_id,
            "because": routed.because,
            "unknown": ", ".join(routed.unknown),
            "alerts": "; ".join(routed.alerts),
            "received_on": self.as_of,
            "decision": self.id,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A kept decision, decided again from what was kept."""

    stored: StoredRouting
    then: Routed
    identical: bool
    now: Routed


# --- reading ----------------------------------------------------------------------------------------------------------


def read_lead(text: str) -> Lead:
    """One lead, from JSON text or the name of a JSON file. Raises LeadError."""
    path = Path(text)
    is_text = text.lstrip().startswith(("{", "["))
    if not is_text:
        text = _read(path)
    name = "lead" if is_text else path.name
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise LeadError(f"{name}:{error.lineno}: not valid JSON: {error.msg}; expected one object") from error
    lines: dict[tuple[str | int, ...], int] = {(): 1}
    if isinstance(data, dict):
        lines |= {(key,): 1 + text[: max(text.find(f'"{key}"'), 0)].count("\n") for key in data}
    return _valid(Document(file=name, data=data, lines=lines))


def read_leads(path: Path) -> list[Lead]:
    """The leads of a CSV file whose headers are fields of a lead. Raises LeadError with every faulty row."""
    reader = csv.DictReader(io.StringIO(_read(path), newline=""), strict=True)
    known = {*Lead.model_fields, "amount"}
    names = {header: header.strip().lower().replace(" ", "_") for header in reader.fieldnames or ()}
    strange = sorted(header for header, name in names.items() if name not in known)
    if strange or not names:
        hints = [f"{header!r}{f' (did you mean {near(header.lower(), known)}?)' if near(header.lower(), known) else ''}"
                 for header in strange]  # fmt: skip
        fact = f"unknown columns {', '.join(hints)}" if strange else "no header"
        raise LeadError(f"{path.name}:1: {fact}; known are {', '.join(sorted(known))}")
    leads, problems = [], []
    try:
        for row in reader:
            data = {names[header]: cell for header, cell in row.items() if header in names and cell}
            try:
                leads.append(_valid(Document(file=path.name, data=data, lines={(): reader.line_num})))
            except LeadError as error:
                problems.append(str(error))
    except csv.Error as error:
        raise LeadError(f"{path.name}:{reader.line_num}: not valid CSV: {error}") from error
    if problems:
        raise LeadError("\n".join(problems))
    return leads


def read_assumptions(given: Iterable[str]) -> tuple[dict[str, str], dict[str, Scalar]]:
    """`field=value` words as changed fields of the lead and as facts taken for granted. Raises LeadError."""
    facts = {fact.name: fact for fact in LEAD_FACTS}
    fields: dict[str, str] = {}
    assumed: dict[str, Scalar] = {}
    for word in given:
        name, sign, value = word.partition("=")
        name, value = name.strip(), value.strip()
        if not sign:
            raise LeadError(f'--if: "{word}" has no =; expected field=value, such as service_line=ONCOLOGY')
        if name in Lead.model_fields or name in ("amount", SYSTEM):
            fields[name] = value
        elif name in facts:
            assumed[name] = _typed(name, facts[name].type, facts[name].values, value)
        else:
            known = [*Lead.model_fields, *facts, SYSTEM]
            hint = near(name, known)
            raise LeadError(
                f'--if: nothing is called "{name}"{f", did you mean {hint}?" if hint else ""} '
                f"known are {', '.join(sorted(known))}"
            )
    return fields, assumed


def _typed(name: str, kind: type, values: tuple[str, ...], text: str) -> Scalar:
    read: Scalar | None = text
    if kind is bool:
        read = yes_no(text)
    elif kind is int:
        read = whole_number(text)
    if read is None or (values and read not in values):
        expected = ", ".join(values) or {bool: "true or false", int: "a whole number"}.get(kind, "text")
        raise LeadError(f'--if: {name} is "{text}"; expected {expected}')
    return read


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise LeadError(f"{path.name}: larger than {MAX_BYTES >> 20} MiB; split the file")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise LeadError(f"{path.name}: not UTF-8 (byte {error.start + 1}); save it as UTF-8") from error
    except OSError as error:
        raise LeadError(f"{path.name or path}: cannot be read ({error.strerror}); give a file, or JSON text") from error


def _valid(document: Document) -> Lead:
    lead, problems = validate(document, Lead)
    if lead is not None and lead.received_on and iso_date(lead.received_on) != lead.received_on:
        fact = f"received_on is {lead.received_on!r}; expected a day, YYYY-MM-DD"
        problems = [document.problem(("received_on",), fact)]
    if lead is None or problems:
        raise LeadError("\n".join(str(problem) for problem in problems))
    return lead


# --- deciding ---------------------------------------------------------------------------------------------------------


def route_leads(
    wired: Wired, leads: Sequence[Lead], *, keep: bool = True, progress: Progress = lambda step, done, total: None
) -> tuple[Answer, ...]:
    """Decide on leads in the order in which they arrived, each by what was so on its day; answers in that order.

    Whoever got one has one more open piece of work when the next is looked at.
    """
    today = wired.as_of()
    arrived = sorted(((lead.received_on or today, place, lead) for place, lead in enumerate(leads)), key=_arrival)
    answers: list[Answer] = []
    for day, group in groupby(arrived, key=lambda one: one[0]):
        progress(f"gather what is known on {day}", len(answers), len(leads))
        loaded, book = gather(wired, day)
        work = Counter(open_work(wired, book, day))
        decided: list[tuple[Lead, Inputs, Routed]] = []
        for _, _, lead in group:
            inputs = book.inputs(lead, _nonzero(work))
            routed = route_lead(inputs, book.basis)
            work.update([routed.assignee] if routed.assignee else [])
            decided.append((lead, inputs, routed))
        ids = _keep(wired, loaded, book, decided) if keep else [""] * len(decided)
        answers += [
            Answer(id=id_, lead=lead, as_of=day, routed=routed)
            for id_, (lead, _, routed) in zip(ids, decided, strict=True)
        ]
    progress("route", len(answers), len(leads))
    return tuple(answers)


def suppose(wired: Wired, lead: Lead, given: Sequence[str]) -> tuple[Answer, Answer]:
    """Where a lead goes, and where it would go if something were otherwise. Keeps neither."""
    fields, assumed = read_assumptions(given)
    system = fields.pop(SYSTEM, "")
    other = _valid(Document(file="--if", data={**lead.model_dump(), **fields}, lines={(): 1})) if fields else lead
    [so] = route_leads(wired, [lead], keep=False)
    day = other.received_on or wired.as_of()
    _, book = gather(wired, day)
    inputs = book.inputs(other, open_work(wired, book, day), assumed)
    if system:
        inputs = _under(book, inputs, system)
    return so, Answer(id="", lead=other, as_of=day, routed=route_lead(inputs, book.basis))


def replay_decision(wired: Wired, wanted: str) -> Replayed:
    """Decide a kept lead again from what was kept with it. Raises StoreError for an unknown id."""
    stored = wired.routings.get(wanted)
    again = replay(stored.decided.inputs, wired.routings.basis(stored.basis_digest))
    return Replayed(
        stored=stored,
        then=read_routed(stored.decided.result),
        identical=again == stored.decided.result,
        now=read_routed(again),
    )


def gather(wired: Wired, day: str) -> tuple[Loaded, LeadBook]:
    """Everything leads of a day are routed by."""
    loaded = load_world(wired, day)
    found, forest = find_out(loaded.world, wired.mappings, day, wired.engine)
    sources = Sources(
        world=loaded.world, found=found, forest=forest, policies=wired.mappings.policies, as_of=day
    )  # fmt: skip
    return loaded, LeadBook(sources, wired.engine)


def open_work(wired: Wired, book: LeadBook, day: str) -> dict[str, int]:
    """Open deals and leads of late, by e-mail."""
    since = date.fromisoformat(day) - timedelta(days=book.basis.policy.work_days)
    return dict(Counter(book.open_deals) + Counter(wired.routings.work_since(since.isoformat())))


def outcomes(answers: Iterable[Answer]) -> dict[str, int]:
    """How many leads came to what."""
    counted = Counter(answer.routed.outcome.value for answer in answers)
    return {outcome.value: counted[outcome.value] for outcome in Outcome}


def _under(book: LeadBook, inputs: Inputs, system: str) -> Inputs:
    try:
        return book.under(inputs, book.account_id(system))
    except KeyError as error:
        raise LeadError(
            f'--if {SYSTEM}: no account is called "{system}"; give an account id, a record id or a vendor id'
        ) from error


def _keep(
    wired: Wired, loaded: Loaded, book: LeadBook, decided: Sequence[tuple[Lead, Inputs, Routed]]
) -> tuple[str, ...]:
    rows = [
        Decided(
            lead_id=lead.id,
            as_of=inputs.as_of,
            outcome=routed.outcome.value,
            assignee=routed.assignee,
            account_id=routed.account_id,
            rule_id=routed.rule_id,
            inputs=inputs_text(inputs),
            result=routed_text(routed),
        )
        for lead, inputs, routed in decided
    ]
    return wired.routings.save(
        rows,
        basis=basis_text(book.basis),
        ruleset_digest=wired.mappings.digest,
        snapshot_ids=[one.id for one in (*loaded.snapshots, *loaded.feeds)],
        person=wired.person,
    )


def _arrival(one: tuple[str, int, Lead]) -> tuple[str, int]:
    return one[0], one[1]


def _nonzero(work: Mapping[str, int]) -> dict[str, int]:
    return {email: count for email, count in work.items() if count}


def step_rows(routed: Routed) -> list[dict[str, str]]:
    """The trace as rows."""
    return [asdict(step) for step in routed.trace]
