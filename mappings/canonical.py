"""The canonical model: every field Platbook knows of, with its type, unit and meaning.

Tables carry facts in typed columns. Managed fields (the ones Platbook may push) are carried as canonical text,
because three-way comparison needs one exact form per value; `transforms.canonical_text` makes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FieldType(StrEnum):
    """How a value is canonicalised and compared."""

    TEXT = "text"  # trimmed, NFC; "" is empty
    PICKLIST = "picklist"  # the API value, exact
    ACCOUNT_REF = "account_ref"  # a record id of the same connection (Salesforce: 18 characters)
    USER_REF = "user_ref"  # a user or owner id of the same connection
    INTEGER = "integer"
    MONEY = "money"  # integer cents of a US dollar in tables
    SHARE = "share"  # integer basis points, 0 to 10,000, in tables
    BOOLEAN = "boolean"  # "true" or "false" as text
    DATE = "date"  # ISO text, YYYY-MM-DD
    INSTANT = "instant"  # ISO text in UTC, YYYY-MM-DDTHH:MM:SS.mmmZ


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One canonical field."""

    name: str
    type: FieldType
    unit: str = ""  # "" where the type says it all
    meaning: str
    managed: bool = False  # Platbook may propose and push a value


def _field(name: str, type_: FieldType, meaning: str, *, unit: str = "", managed: bool = False) -> Field:
    return Field(name=name, type=type_, unit=unit, meaning=meaning, managed=managed)


T = FieldType

ACCOUNT: tuple[Field, ...] = (
    _field("name", T.TEXT, "Name as the CRM shows it"),
    _field("account_type", T.TEXT, "The CRM's own type of the account"),
    _field("street", T.TEXT, "Street and number"),
    _field("city", T.TEXT, "City"),
    _field("state", T.TEXT, "USPS state or province code, upper case"),
    _field("zip5", T.TEXT, "First five digits of the ZIP code, leading zeros restored"),
    _field("country", T.TEXT, "Country as written"),
    _field("phone", T.TEXT, "Ten digits, no punctuation"),
    _field("domain", T.TEXT, "Registrable web domain, lower case, no scheme, no www"),
    _field("employees", T.INTEGER, "Employees", unit="people"),
    _field("annual_revenue_cents", T.MONEY, "Yearly revenue", unit="cents"),
    _field("ccn", T.TEXT, "CMS certification number, six characters, leading zeros restored"),
    _field("npi", T.TEXT, "Organisation NPI, ten digits"),
    _field("definitive_id", T.TEXT, "Vendor id of the organisation in the market-intelligence feed"),
    _field("parent", T.ACCOUNT_REF, "Parent account in the same CRM", managed=True),
    _field("health_system", T.TEXT, "Name of the ultimate health system", managed=True),
    _field("owner", T.USER_REF, "Primary owner", managed=True),
    _field("owner_role", T.PICKLIST, "Role in which the owner holds the account", managed=True),
    _field("territory", T.PICKLIST, "Territory id the account is worked in", managed=True),
    _field("routing_queue", T.PICKLIST, "Queue that new leads of the account go to", managed=True),
    _field("account_tier", T.PICKLIST, "Account tier: T1, T2, T3 or UNTIERED", managed=True),
    _field("tier_status", T.TEXT, "CONFIRMED, or what keeps the tier provisional", managed=True),
    _field("score", T.INTEGER, "Account score from 0 to 100, whole points", unit="points", managed=True),
    _field("rescore_flag", T.BOOLEAN, "A trigger event asks for a new score", managed=True),
    _field("rescore_reason", T.TEXT, "The trigger events behind the flag", managed=True),
)
"""Fields of an account record in a CRM, in display order."""

FIRM: tuple[Field, ...] = (
    _field("firm_id", T.TEXT, "Vendor id, unique in one delivery"),
    _field("name", T.TEXT, "Name without the former-name suffix"),
    _field("former_name", T.TEXT, "Former name the vendor shows in brackets"),
    _field("firm_type", T.TEXT, "Vendor's firm type"),
    _field("hospital_type", T.TEXT, "Vendor's hospital type"),
    _field("street", T.TEXT, "Street and number"),
    _field("city", T.TEXT, "City"),
    _field("state", T.TEXT, "USPS state code"),
    _field("zip5", T.TEXT, "Five digits"),
    _field("phone", T.TEXT, "Ten digits"),
    _field("domain", T.TEXT, "Registrable web domain"),
    _field("idn_id", T.TEXT, "Vendor id of the health system or division the firm belongs to"),
    _field("idn_name", T.TEXT, "Name of it"),
    _field("idn_parent_id", T.TEXT, "Vendor id of that system's own parent; equal to idn_id for a root"),
    _field("idn_parent_name", T.TEXT, "Name of it"),
    _field("ccn", T.TEXT, "CMS certification number as printed, leading zeros restored"),
    _field("npi", T.TEXT, "Organisation NPI"),
    _field("staffed_beds", T.INTEGER, "Staffed beds", unit="beds"),
    _field("discharges", T.INTEGER, "Discharges a year", unit="discharges"),
    _field("net_patient_revenue_cents", T.MONEY, "Net patient revenue a year; losses are negative", unit="cents"),
    _field("medicare_days_bp", T.SHARE, "Medicare share of inpatient days", unit="basis points"),
    _field("medicaid_days_bp", T.SHARE, "Medicaid share of inpatient days", unit="basis points"),
    _field("other_days_bp", T.SHARE, "Private, self-pay and other share of inpatient days", unit="basis points"),
    _field("medicare_advantage_days_bp", T.SHARE, "Medicare Advantage share of days", unit="basis points"),
    _field("commercial_days_bp", T.SHARE, "Commercial share of days, where it is apart", unit="basis points"),
    _field("providers", T.INTEGER, "Affiliated providers", unit="people"),
    _field("ehr_vendor", T.TEXT, "Inpatient health record vendor"),
    _field("it_capabilities", T.TEXT, "Interfaces and platforms: FHIR, HL7v2, data lake, ..."),
    _field("aco", T.TEXT, "ACO affiliations"),
    _field("gpo", T.TEXT, "GPO affiliations"),
    _field("oncology_share_bp", T.SHARE, "Oncology share of revenue", unit="basis points"),
    _field("cardiology_share_bp", T.SHARE, "Cardiology share of revenue", unit="basis points"),
    _field("orthopedics_share_bp", T.SHARE, "Orthopedics share of revenue", unit="basis points"),
    _field("primary_care_share_bp", T.SHARE, "Primary care share of revenue", unit="basis points"),
    _field("behavioral_health_share_bp", T.SHARE, "Behavioral health share of revenue", unit="basis points"),
    _field("is_rural", T.BOOLEAN, "Outside a metropolitan area"),
    _field("is_critical_access", T.BOOLEAN, "Critical access hospital"),
    _field("employees", T.INTEGER, "Employees", unit="people"),
    _field("annual_revenue_cents", T.MONEY, "Yearly revenue", unit="cents"),
    _field("updated_on", T.DATE, "When the vendor last touched the profile"),
)
"""Fields of one firm in a market-intelligence delivery."""

FACT: tuple[Field, ...] = (
    _field("firm_id", T.TEXT, "Vendor id of the organisation the fact is about"),
    _field("fact", T.PICKLIST, "procurement_centralized, commercial_share, gpo_contract, oncology_strength, ..."),
    _field("category", T.TEXT, "Purchasing category or service line; empty where it does not apply"),
    _field("value", T.TEXT, "Value in the unit of the fact: true/false, percent, name"),
    _field("valid_from", T.DATE, "First day it holds; empty = always"),
    _field("valid_to", T.DATE, "First day it no longer holds; empty = open"),
    _field("confirmed_by", T.TEXT, "Who confirmed it"),
)
"""A confirmed fact about an organisation (steward or representative), in long form."""

EDGE: tuple[Field, ...] = (
    _field("child_id", T.TEXT, "Vendor id or connection:record id of the organisation below, or of the successor"),
    _field("parent_id", T.TEXT, "The organisation above, or the one succeeded; an override that names itself has none"),
    _field("parent_name", T.TEXT, "Its name, where neither a vendor nor a CRM knows it"),
    _field("parent_type", T.TEXT, "Its type, such as INVESTOR, REIT, GOVERNMENT, GPO or MSO_PLATFORM"),
    _field("kind", T.PICKLIST, "OWNS, MANAGES, LEASES, SITE_OF, GPO_MEMBER, ..., SUCCESSOR_OF"),
    _field("pct_bp", T.SHARE, "Share held; empty = unknown", unit="basis points"),
    _field("control", T.PICKLIST, "FULL, MAJORITY, JOINT, MINORITY or UNKNOWN"),
    _field("procurement", T.BOOLEAN, "The organisation above buys for the one below"),
    _field("is_override", T.BOOLEAN, "A steward's word: this is the parent, whatever else is known"),
    _field("service_lines", T.TEXT, "Service lines it is about; empty = all"),
    _field("announced_on", T.DATE, "When it was made public"),
    _field("effective_from", T.DATE, "First day it holds; empty = always"),
    _field("effective_to", T.DATE, "First day it no longer holds; empty = open"),
    _field("first_seen", T.DATE, "When the source first showed it; empty = the date of the delivery"),
    _field("state", T.PICKLIST, "ANNOUNCED, ACTIVE, ENDED or REJECTED; empty = ACTIVE"),
    _field("source", T.TEXT, "Who says so: steward, cms_chow, ...; empty = the feed"),
    _field("confidence_bp", T.SHARE, "How sure; empty = what the policy gives the source", unit="basis points"),
)
"""One dated statement of who belongs to whom, from a steward or a change-of-ownership list."""

AUTHORITY: tuple[Field, ...] = (
    _field("org_id", T.TEXT, "Vendor id or connection:record id of the organisation that is decided for"),
    _field("function", T.PICKLIST, "CLINICAL, PROCUREMENT, IT, BUDGET or ALL"),
    _field("service_line", T.TEXT, "Service line, or ALL"),
    _field("category", T.TEXT, "Purchasing category, or ALL"),
    _field("holder_id", T.TEXT, "Who decides; empty = what the level says"),
    _field("level", T.PICKLIST, "SITE, REGION, SYSTEM, MSO, PLATFORM or GPO"),
    _field("delegates_down", T.BOOLEAN, "It holds for organisations below as well; empty = all levels but SITE do"),
    _field("spend_limit_cents", T.MONEY, "Above this amount the system decides", unit="cents"),
    _field("valid_from", T.DATE, "First day it holds; empty = always"),
    _field("valid_to", T.DATE, "First day it no longer holds; empty = what the policy allows its source"),
    _field("source", T.PICKLIST, "STEWARD, REP or FEED; empty = STEWARD"),
    _field("confidence_bp", T.SHARE, "How sure; empty = certain", unit="basis points"),
    _field("evidence", T.TEXT, "Where it is written"),
)
"""One record of who decides for an organisation, a function, a service line and a category."""

OWNERSHIP: tuple[Field, ...] = (
    _field("record_key", T.TEXT, "What the source calls its row or the organisation: an enrollment, a hospital id"),
    _field("ccn", T.TEXT, "CMS certification number of the organisation"),
    _field("npi", T.TEXT, "Its NPI"),
    _field("name", T.TEXT, "Its name"),
    _field("state", T.TEXT, "USPS state code"),
    _field("kind", T.PICKLIST, "CHOW (sold), OWNER (listed as an owner) or MEMBER (part of a system)"),
    _field("owner_name", T.TEXT, "Buyer, owner or system"),
    _field("owner_id", T.TEXT, "What the source calls it"),
    _field("owner_parent_name", T.TEXT, "Corporate parent of it, where the source says so"),
    _field("former_owner_name", T.TEXT, "Seller"),
    _field("role", T.TEXT, "Kind of the change or of the owner's interest, as written"),
    _field("pct_bp", T.SHARE, "Share held; empty = unknown", unit="basis points"),
    _field("effective_on", T.DATE, "Day it took effect; empty = the source gives no day"),
)
"""What a public register says of who owns an organisation: looked at beside the vendor, never a parent by itself."""

SIGNAL: tuple[Field, ...] = (
    _field("firm_id", T.TEXT, "Vendor id of the organisation, where the sender knows it"),
    _field("record_id", T.TEXT, "CRM record id of the account, where the sender knows it"),
    _field("domain", T.TEXT, "Registrable web domain of the organisation"),
    _field("kind", T.PICKLIST, "intent, web_visit, content, demo_view, event, form_fill"),
    _field("topic", T.TEXT, "Topic or keyword"),
    _field("strength", T.INTEGER, "Strength as the sender gives it, 0 to 100"),
    _field("person", T.TEXT, "Hash of the person, only to count each once"),
    _field("occurred_on", T.DATE, "Day of the activity"),
)
"""Something an organisation did that shows interest."""

CONTACT: tuple[Field, ...] = (
    _field("record_id", T.TEXT, "CRM record id of the account"),
    _field("person", T.TEXT, "Hash of the person, only to count each once"),
    _field("title", T.TEXT, "Job title"),
    _field("is_champion", T.BOOLEAN, "Champions us"),
    _field("opted_out", T.BOOLEAN, "Does not want to be written to"),
    _field("last_touch_on", T.DATE, "Day of the last exchange"),
)
"""A person at an account, without a name: what the relationship is judged by."""

USER: tuple[Field, ...] = (
    _field("user_id", T.USER_REF, "Native id of the user or owner"),
    _field("email", T.TEXT, "Lower case; the person across CRMs"),
    _field("name", T.TEXT, "Display name"),
    _field("is_active", T.BOOLEAN, "May own records"),
    _field("actor_id", T.USER_REF, "Id under which the CRM's field history names the person"),
)

OPPORTUNITY: tuple[Field, ...] = (
    _field("opportunity_id", T.TEXT, "Native id"),
    _field("record_id", T.ACCOUNT_REF, "Account or company it belongs to"),
    _field("owner", T.USER_REF, "Owner of the opportunity"),
    _field("stage", T.TEXT, "Stage as named in the CRM"),
    _field("amount_cents", T.MONEY, "Amount", unit="cents"),
    _field("is_closed", T.BOOLEAN, "Closed, won or lost"),
    _field("is_won", T.BOOLEAN, "Won"),
    _field("close_date", T.DATE, "Closing date"),
    _field("created_on", T.DATE, "Day it was opened"),
)

TEAM_MEMBER: tuple[Field, ...] = (
    _field("record_id", T.ACCOUNT_REF, "Account"),
    _field("user_id", T.USER_REF, "Member"),
    _field("role", T.TEXT, "Role on the team"),
)

FIELD_CHANGE: tuple[Field, ...] = (
    _field("record_id", T.ACCOUNT_REF, "Account"),
    _field("field", T.TEXT, "Canonical field that changed"),
    _field("changed_at", T.INSTANT, "When"),
    _field("changed_by", T.TEXT, "Native user id, or the integration's name"),
    _field("actor_kind", T.PICKLIST, "human, integration, workflow, import, us or unknown"),
    _field("old_value", T.TEXT, "Canonical text before; empty where the CRM does not say"),
    _field("new_value", T.TEXT, "Canonical text after"),
)

OBJECTS: dict[str, tuple[Field, ...]] = {
    "account": ACCOUNT,
    "user": USER,
    "opportunity": OPPORTUNITY,
    "team_member": TEAM_MEMBER,
    "field_change": FIELD_CHANGE,
}
"""CRM objects a field map may describe."""

RECORD_KEYS: dict[str, str] = {"account": "record_id", "user": "user_id", "opportunity": "opportunity_id"}
"""Canonical name of the native record id, where the id itself is a fact."""

FEEDS: dict[str, tuple[Field, ...]] = {
    "firm": FIRM,
    "fact": FACT,
    "signal": SIGNAL,
    "contact": CONTACT,
    "edge": EDGE,
    "authority": AUTHORITY,
    "ownership": OWNERSHIP,
}
"""Kinds of rows a feed layout may describe."""

MANAGED: tuple[str, ...] = tuple(f.name for f in ACCOUNT if f.managed)
"""Names of the account fields Platbook may push, in display order."""
