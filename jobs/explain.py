"""Everything a plan knows about one account: what it is linked to, where its facts came from, and why each change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.export import findings_source
from jobs.identity import LinkStory, explained
from jobs.present import PlanView, view_plan
from jobs.scoring import score_lines
from jobs.wiring import Wired
from sync.planning.explain import explain, facts
from sync.segmentation.handoff import handoff
from sync.segmentation.telling import predicate_lines

MAX_ACCOUNTS = 5
SHOWN_FACTS = ("name", "account_type", "city", "state", "zip5", "phone", "domain", "ccn", "npi", "annual_revenue_cents")


class UnknownAccount(ValueError):
    """No account, or too many, fit what was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One account explained."""

    account_id: str
    heading: str
    lines: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"account": self.account_id, "heading": self.heading, "lines": list(self.lines)}


def explain_account(wired: Wired, plan_id: str, wanted: str, *, field: str | None = None) -> tuple[Told, ...]:
    """The accounts that `wanted` names (account id, record id, vendor id, or part of a name). Raises UnknownAccount."""
    found = _Findings(wired, plan_id)
    view = view_plan(wired, plan_id)
    return tuple(_told(found, view, account_id, field) for account_id in found.named(wanted))


def explain_links(wired: Wired, plan_id: str, wanted: str) -> LinkStory:
    """How the members of the accounts that `wanted` names were linked in a plan. Raises UnknownAccount."""
    found = _Findings(wired, plan_id)
    rows = [row for account_id in found.named(wanted) for row in found.rows("links", account_id)]
    names = {(row["source"], row["source_id"]): found.name(row["account_id"]) for row in rows}
    return LinkStory(links=explained(wired, rows, names))


class _Findings:
    """The tables a plan was made of."""

    def __init__(self, wired: Wired, plan_id: str) -> None:
        self._wired, self._source = wired, findings_source(plan_id)
        self.plan_id = plan_id
        self.links = self._table("links")
        kept = wired.crosswalk.table().to_pylist()
        self.kept = {(row["source"], row["source_id"]): row["how"] for row in kept}
        self.accounts = self._table("accounts")

    def tier_lines(self, row: Mapping[str, Any]) -> Iterator[str]:
        """Every predicate behind a tier, and what would earn a better one."""
        return predicate_lines(self._wired.mappings.policies.tiers, row["predicates"], row["evidence"])

    def profile_lines(self, account_id: str) -> Iterator[str]:
        """What kind of account it is and what it scores; nothing where an older plan kept no profiles."""
        if self._wired.snapshots.current(self._source, "profiles") is None:
            return
        said = ("segment", "motion", "payer_class", "size_tier", "quadrant")
        for row in self.rows("profiles", account_id):
            words = ", ".join(f"{name.replace('_', ' ')} {row[name]}" for name in said if row[name])
            yield f"profile: {words or 'nothing is known'}"
            note = handoff(row, self._wired.mappings.policies.segments) if "topics" in row else ""
            if note:
                yield f"hand-off: {note}"
            yield from score_lines(self._wired, self.plan_id, row)

    def rows(self, name: str, account_id: str) -> list[dict[str, Any]]:
        """Rows of one table about one account."""
        table = {"links": self.links, "accounts": self.accounts}.get(name)
        table = self._table(name) if table is None else table
        found: list[dict[str, Any]] = table.filter(pc.equal(table["account_id"], account_id)).to_pylist()
        return found

    def name(self, account_id: str | None) -> str:
        """What an account is called."""
        if account_id is None:
            return ""
        rows = self.rows("accounts", account_id)
        return (rows[0]["name"] if rows else None) or account_id

    def named(self, wanted: str) -> list[str]:
        """Account ids that a person's words mean: an exact id first, then an exact name, then a part of one."""
        by_id = pc.or_(pc.equal(self.links["account_id"], wanted), pc.equal(self.links["source_id"], wanted))
        exact = sorted(set(self.links.filter(by_id)["account_id"].to_pylist()))
        if exact:
            return exact
        names = pc.fill_null(pc.utf8_lower(self.accounts["name"]), "")
        for mask in (pc.equal(names, wanted.lower()), pc.match_substring(names, wanted.lower())):
            found = sorted(self.accounts.filter(mask)["account_id"].to_pylist())
            if len(found) > MAX_ACCOUNTS:
                some = ", ".join(self.name(one) for one in found[:MAX_ACCOUNTS])
                raise UnknownAccount(
                    f'"{wanted}" fits {len(found)} accounts ({some}, ...); give more of the name, or an id'
                )
            if found:
                return found
        raise UnknownAccount(
            f'"{wanted}": no account, record, vendor id or name of this plan fits; see `platbook export accounts`'
        )

    def _table(self, name: str) -> pa.Table:
        kept = self._wired.snapshots.current(self._source, name)
        if kept is None:
            raise UnknownAccount(f"{self._source}: what this plan was made of is no longer kept; plan again")
        return self._wired.snapshots.read(kept)


def _told(found: _Findings, view: PlanView, account_id: str, field: str | None) -> Told:
    lines = [] if field else [*_identity(found, account_id), *_standing(found, account_id)]
    lines += _changes(view, account_id, field)
    return Told(account_id=account_id, heading=f"{found.name(account_id)} ({account_id})", lines=tuple(lines))


def _identity(found: _Findings, account_id: str) -> Iterator[str]:
    for link in sorted(found.rows("links", account_id), key=lambda row: (row["source"], row["source_id"])):
        yield f"is {link['source']} {link['source_id']}: {_linked(found, link)}"
    for row in found.rows("accounts", account_id):
        for name in SHOWN_FACTS:
            if row.get(name) is not None:
                yield f"{name.replace('_', ' ')}: {row[name]} [{row.get(f'{name}__source') or row.get('firm_source')}]"


def _linked(found: _Findings, link: Mapping[str, Any]) -> str:
    """How a record or firm came to be this account, in words."""
    if link["how"] == "own":
        return "nothing else was linked to it"
    if link["how"] == "crosswalk":
        first = found.kept.get((link["source"], link["source_id"]), "")
        return "as in earlier runs" + (f", first by {first}" if first not in ("", "own", "crosswalk") else "")
    told = "; ".join(f"{fact.name} {fact.value}" for fact in facts(link["evidence"]) if fact.name != "key")
    return f"linked by {link['how']}" + (f" ({told})" if told else "")


def _standing(found: _Findings, account_id: str) -> Iterator[str]:
    """System, tier and owner, each with what made it so."""
    for row in found.rows("hierarchy", account_id):
        way = [found.name(one) for one in (row["path"] or "").split("/") if one]
        source = f" [{row['source_ref']}]" if row["source_ref"] else ""
        yield f"health system: {row['system_name']}; {' > '.join(way)}; because: {row['basis']}{source}"
        if row["conflict"]:
            yield f"its parent is not written while {row['conflict']} stands"
    for row in found.rows("tiers", account_id):
        holder = found.name(row["holder_account_id"])
        yield f"tier: {row['tier']}, {row['tier_status']}; decided for {holder}: {row['predicates']}"
        yield from (f"  {line}" for line in found.tier_lines(row))
    yield from found.profile_lines(account_id)
    for row in found.rows("ownership", account_id):
        owner = row["owner_email"] or "no active person found"
        yield f"owner: {owner} by rule {row['rule']}; territory {row['territory']}"


def _changes(view: PlanView, account_id: str, field: str | None) -> Iterator[str]:
    names = _names(view)
    shown: Sequence[Mapping[str, Any]] = [
        change
        for changes in view.changes.values()
        for change in changes
        if change["account_id"] == account_id and field in (None, change["field"])
    ]
    if not shown:
        yield "nothing of it changes in this plan"
    for change in sorted(shown, key=lambda row: (row["connection"], row["record_id"], row["field"])):
        values, *why = explain(change, names)
        yield values
        yield from (f"    {sentence}" for sentence in why)


def _names(view: PlanView) -> dict[str, str]:
    people = {user_id: name for (_, user_id), (name, _) in view.names.users.items()}
    return people | {record_id: name for (_, record_id), name in view.names.records.items()}
