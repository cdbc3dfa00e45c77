"""Makes up what people did and who is known at the demo's accounts. Every signal, person and title is invented.

Everything follows from the id of the record: the same records give the same rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from urllib.parse import urlsplit

from sandbox.data.tables import Row

SIGNALS = ("Account Name", "Domain", "Activity Type", "Keyword", "Intent Score", "Contact", "Activity Date")
CONTACTS = ("Account ID", "Email", "Title", "Champion", "Email Opt Out", "Last Activity Date")
LAST_DAY = date(2022, 11, 30)
SIGNAL_DAYS, TOUCH_DAYS = 120, 500
BUSY, KNOWN = 35, 40
"""Of 100 records, those with signals and those with contacts."""

KINDS = ("Web Visit", "Web Visit", "Web Visit", "Content", "Content", "Demo View", "Event", "Form Fill")
TOPICS = ("Infusion Pumps", "Medication Safety", "Oncology Infusion", "Nurse Staffing", "Total Cost of Care")
TITLES = (
    "Chief Information Officer",
    "Chief Financial Officer",
    "Chief Medical Information Officer",
    "President and CEO",
    "Director of Supply Chain",
    "Director of Oncology Services",
    "IT Director",
    "Chief Medical Officer",
    "Pharmacy Manager",
)


def make_signals(accounts: Iterable[Row], companies: Iterable[Row]) -> list[Row]:
    """Visits, downloads, demos and topics of some of the accounts that have a web site, sorted."""
    rows: list[Row] = []
    for record_id, name, domain in _places(accounts, companies):
        if domain and _number(record_id, "busy", 100) < BUSY:
            rows += _signals_of(record_id, name, domain)
    return sorted(rows, key=lambda row: tuple(row[column] for column in SIGNALS))


def make_contacts(accounts: Iterable[Row], companies: Iterable[Row]) -> list[Row]:
    """People of some of the accounts, sorted."""
    ids = [record_id for record_id, _, _ in _places(accounts, companies)]
    known = [record_id for record_id in ids if _number(record_id, "known", 100) < KNOWN]
    rows = [row for record_id in known for row in _contacts_of(record_id)]
    return sorted(rows, key=lambda row: (row["Account ID"], row["Email"]))


def _places(accounts: Iterable[Row], companies: Iterable[Row]) -> Iterator[tuple[str, str, str]]:
    """Record id, name and domain of every record."""
    for row in accounts:
        yield row["Id"], row["Name"], urlsplit(row["Website"]).netloc.removeprefix("www.")
    for row in companies:
        yield row["hs_object_id"], row["name"], row["domain"].removeprefix("www.")


def _signals_of(record_id: str, name: str, domain: str) -> Iterator[Row]:
    base = {"Account Name": name, "Domain": domain}
    for number in range(1 + _number(record_id, "signals", 8)):
        seed = f"{record_id}:{number}"
        day = LAST_DAY - timedelta(days=_number(seed, "day", SIGNAL_DAYS))
        kind = KINDS[_number(seed, "kind", len(KINDS))]
        yield {**base, "Activity Type": kind, "Keyword": "", "Intent Score": "", "Contact": f"visitor-{seed}",
               "Activity Date": day.isoformat()}  # fmt: skip
    for number in range(_number(record_id, "topics", 3)):
        seed = f"{record_id}:topic:{number}"
        day = LAST_DAY - timedelta(days=_number(seed, "day", SIGNAL_DAYS // 2))
        topic = TOPICS[(_number(record_id, "topic", len(TOPICS)) + number) % len(TOPICS)]
        strength = str(30 + _number(seed, "score", 70))
        yield {**base, "Activity Type": "Intent", "Keyword": topic, "Intent Score": strength, "Contact": "",
               "Activity Date": day.isoformat()}  # fmt: skip


def _contacts_of(record_id: str) -> Iterator[Row]:
    first = _number(record_id, "title", len(TITLES))
    for number in range(1 + _number(record_id, "people", 6)):
        seed = f"{record_id}:person:{number}"
        touched = LAST_DAY - timedelta(days=_number(seed, "touched", TOUCH_DAYS))
        yield {
            "Account ID": record_id,
            "Email": f"person-{_number(seed, 'mail', 10**9):09}@example.com",
            "Title": TITLES[(first + number) % len(TITLES)],
            "Champion": "yes" if _number(seed, "champion", 100) < 12 else "no",
            "Email Opt Out": "yes" if _number(seed, "out", 100) < 4 else "no",
            "Last Activity Date": touched.isoformat(),
        }


def _number(seed: str, about: str, below: int) -> int:
    """A number from 0 that follows from the seed alone."""
    return int.from_bytes(hashlib.sha256(f"{about}:{seed}".encode()).digest()[:8], "big") % below
