"""Lints of the daily work: territories that are driven through, and leads that went to yesterday's owner."""

from __future__ import annotations

from collections import defaultdict

import narwhals as nw

from sync.engine import Engine
from sync.insight.lint import Level, Lint, Looked, Row
from sync.insight.travel import hours, stops_of
from sync.segmentation import motions
from sync.world import INT


def travel(looked: Looked, engine: Engine) -> Lint:
    """Territories in which a year holds more hours on the road than with customers."""
    policies, places = looked.mappings.policies, looked.mappings.places
    zips = looked.found.accounts.select("account_id", "zip5")
    worked = looked.standing.filter(
        nw.col("in_crm"), nw.col("status") != "CLOSED", ~nw.col("territory").is_null()
    ).join(zips, on="account_id", how="left")
    counted = worked.group_by("territory", "zip5", "account_tier").agg(nw.len().cast(INT).alias("accounts"))
    per_territory: dict[str, list[Row]] = defaultdict(list)
    for row in engine.rows(counted):
        per_territory[row["territory"]].append(row)
    homes = {rep.email.lower(): places.get(rep.home_zip) for rep in policies.reps.reps if rep.home_zip}
    owners = {t.id: t.owner.lower() for t in policies.territories.territories}
    rows = []
    for territory, there in sorted(per_territory.items()):
        stops, lost = stops_of(there, places)
        year = hours(stops, policies.kpis.travel, homes.get(owners.get(territory, "")))
        if year.travel > year.selling:
            rows.append({"subject": territory, "accounts": sum(s.accounts for s in stops), "visits": year.visits,
                         "travel_hours": year.travel, "selling_hours": year.selling,
                         "farthest_km": year.farthest_km, "without_place": lost})  # fmt: skip
    return Lint(
        id="FM4-TRAVEL",
        level=Level.WARN,
        title="Territories with more hours on the road than with customers",
        rows=tuple(rows),
        fix="give far states to a nearer territory in territories.yaml, or visit less (kpis.yaml); platbook plan",
        note="" if per_territory else "no account stands in a territory",
    )


def lead_old_owner(looked: Looked, engine: Engine) -> Lint:
    """Leads that went to the owner of before, though the account had changed hands by their day."""
    changed: dict[str, list[Row]] = defaultdict(list)
    for event in looked.moves:
        changed[event["account_id"]].append(event)
    leads = [lead for lead in looked.leads if lead["account_id"] in changed and lead["assignee"]]
    about = looked.standing.filter(nw.col("account_id").is_in(sorted({lead["account_id"] for lead in leads})))
    holds = {row["account_id"]: row for row in engine.rows(about)} if leads else {}
    rows = []
    for lead in leads:
        now, to = holds.get(lead["account_id"]), lead["assignee"].lower()
        dated = [e for e in changed[lead["account_id"]] if e["effective_date"] and e["effective_date"] <= lead["as_of"]]
        if now is None or not dated or not now["assigned_email"] or to == now["assigned_email"]:
            continue
        if to in _owners_before(looked, lead["account_id"], now):
            newest = max(dated, key=lambda event: str(event["effective_date"]))
            rows.append({"subject": lead["id"], "lead": lead["lead_id"], "received_on": lead["as_of"],
                         "account": now["name"], "went_to": to, "owner_now": now["assigned_email"],
                         "changed_on": newest["effective_date"], "from_system": newest["old"],
                         "to_system": newest["new"]})  # fmt: skip
    return Lint(
        id="FM3-LEAD-OLD-OWNER",
        level=Level.ERROR,
        title="Leads routed to the owner of before an acquisition",
        rows=tuple(sorted(rows, key=lambda row: str(row["subject"]))),
        fix="platbook plan && platbook apply, then platbook route the leads again",
    )


def _owners_before(looked: Looked, account_id: str, now: Row) -> set[str]:
    """Who owned a record of it, by its history, and who still does."""
    known = {(now["owner_email"] or "").lower(), *looked.past_owners.get(account_id, ())}
    return known - {""}


def deal_size(looked: Looked, engine: Engine) -> Lint:
    """An average deal between the two limits decides nothing by itself."""
    segments = looked.mappings.policies.segments
    knobs = segments.deal_size
    mixed = motions.focus(knobs.average_usd, segments) == "MIXED"
    told = {"subject": "deal_size", "average_usd": knobs.average_usd, "small_below_usd": knobs.small_below_usd,
            "large_above_usd": knobs.large_above_usd}  # fmt: skip
    return Lint(
        id="DEAL-SIZE-MIXED",
        level=Level.INFO,
        title="The usual deal suits neither systems nor groups",
        rows=(told,) if mixed else (),
        fix="set deal_size.average_usd in segments.yaml to what your deals show (platbook kpis R50)",
    )
