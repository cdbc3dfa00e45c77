"""Facts of every deciding organisation, each as bounds with its source: what tier and routing expressions compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import narwhals as nw

from mappings.facts import TIER_FACTS
from mappings.insight_policy import Contract, SegmentPolicy
from mappings.policy import TierPolicy
from mappings.regulation import Law
from mappings.schema import Header
from sync.engine import Engine, Frame
from sync.frames import cases, certain, first_by, length_prefixed, null, stack, text
from sync.segmentation.bounds import bounds, with_coverage, with_payers, with_sites, with_sizes, with_strength
from sync.segmentation.holdings import LINES, hold, names_in_force, with_holdings, with_people
from sync.segmentation.lines import strongest, with_line_strengths
from sync.segmentation.members import kind_of, named_kind, state_law, with_traits
from sync.segmentation.statements import Asked, parsed, side_by_side
from sync.world import BOOL, INT, TEXT, Schema

_DTYPES: dict[type, Any] = {str: TEXT, int: INT, bool: BOOL}
FACT_BOUNDS: Schema = {f"{fact.name}{end}": _DTYPES[fact.type] for fact in TIER_FACTS for end in ("__lo", "__hi")} | {
    f"{fact.name}__from": TEXT for fact in TIER_FACTS
}
"""Per fact: lower and upper bound (or two possible texts), null = unknown, and `__from`, where it was read."""

TRAITS: Schema = {
    "own_type": TEXT,  # of the organisation's own row, whatever it owns
    "hospitals_count": INT,
    "states_count": TEXT,  # "one" or "several", null without a hospital
    **{f"{line}__{end}": TEXT for line in LINES for end in ("lo", "hi")},
    **{f"{line}_bp": INT for line in LINES},
    **{f"beds_{vendor}": INT for vendor in ("EPIC", "ORACLE", "MEDITECH", "OTHER")},
    "it_best": INT,
    "revenue_sum": INT,
    "revenue_missing": INT,
    "aco_hospitals": INT,
    "payer_note": TEXT,
    "expansion_bp": INT,  # share of its sites in states that expanded Medicaid
    "full_practice_bp": INT,  # share of its sites in states with full practice of nurse practitioners
    "own_subtype": TEXT,  # SNF, LTACH, IRF, HOME_HEALTH, HOSPICE of post-acute care
    "product_strength": TEXT,  # strongest of the lines that the category is sold into; null = open
    "awarded_to": TEXT,  # US, COMPETITOR, MULTI; null = not covered, or nobody said
    **{f"{name}_text": TEXT for name in (
        "affiliation", "pe_backed", "employees", "revenue_usd", "it_budget_usd", "it_capability", "capitated",
        "covered_lives", "patients", "funds_allocated", "procurement_path", "compliance_ready", "committee_formed",
        "status", "opt_out", "lighthouse_brand", "lighthouse_outcome", "lighthouse_reference",
    )},
}  # fmt: skip
"""What else is known of a deciding organisation."""

_NOBODY: Header = Header(id="segments", version=1, owner="nobody", effective_from="1970-01-01")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The tables that facts are read from."""

    accounts: Frame  # ACCOUNTS
    holders: Frame  # account_id, system_account_id, holder_account_id
    facts: Frame  # CONFIRMED
    law: Law  # what the states ask, by date
    as_of: str
    segments: SegmentPolicy = field(default_factory=lambda: SegmentPolicy(policy=_NOBODY))


_OTHER_TYPES: tuple[tuple[str, str], ...] = (
    ("accountable care|aco", "ACO"),
    ("group purchasing|gpo", "GPO"),
    ("clinically integrated", "CIN"),
    ("physician hospital org", "PHO"),
    ("benefit manag|pbm", "PBM"),
    ("payer|payor|health plan|insurance", "PAYER"),
    ("life science|pharmaceutical|biotech|medical device", "LIFE_SCIENCES"),
    ("public health|health department", "PUBLIC_HEALTH"),
    ("management services|mso", "MSO_PLATFORM"),
    ("private equity|investor|investment", "INVESTOR"),
)


def classify(evidence: Evidence, policy: TierPolicy, engine: Engine) -> Frame:
    """One row per holder: `account_id`, FACT_BOUNDS and TRAITS."""
    line = str(policy.assumptions.get("target_service_line", "ONCOLOGY")).lower()
    category = str(policy.assumptions.get("category", ""))
    counted = str(policy.assumptions.get("ma_counts_as", "medicare"))
    segments = evidence.segments
    contracts = _in_force(segments.purchasing.contracts, category, evidence.as_of)
    places = _places(evidence)
    con = state_law(evidence.law, evidence.as_of, engine, category)
    members = with_traits(evidence.accounts).join(places, on="account_id", how="inner")
    members = with_holdings(members.join(con, on="state", how="left"), segments, counted)
    held = hold(members, line, contracts, names_in_force(segments, evidence.as_of))
    statements = parsed(evidence.facts, engine)
    table = evidence.holders.select(nw.col("holder_account_id").alias("account_id")).unique()
    for part in (
        held.rename({"holder_account_id": "account_id"}),
        _own(evidence.accounts, places, con),
        side_by_side(statements, _wanted(line), engine),
        _gpo(statements, category),
    ):
        table = table.join(part, on="account_id", how="left")
    table = engine.materialize(_with_org_type(with_people(table), policy, segments))
    table = with_strength(with_line_strengths(table, segments.strength, engine), line)
    table = with_sizes(with_sites(with_payers(table, counted, segments), line))
    has_contracts = any(one.category == category for one in segments.purchasing.contracts)
    table = with_coverage(table, contracts, has_contracts=has_contracts)
    sold_into = segments.products.get(category) or (line,)
    table = table.with_columns(strongest(sold_into).alias("product_strength"))
    return engine.materialize(table.select("account_id", *FACT_BOUNDS, *TRAITS))


def _wanted(line: str) -> Mapping[str, Asked]:
    """Statements a holder is described by, and the category each must be about."""
    shares = ("medicare_share", "medicare_advantage_share", "medicaid_share", "commercial_share", "other_share")
    texts = [name.removesuffix("_text") for name in TRAITS if name.endswith("_text")]
    number, word = ("bp", "ref"), ("text", "ref")
    return {
        **{f"{one}_strength": Asked(ends=word, category=one) for one in LINES},
        **{f"{one}_{what}": Asked(ends=number, category=one) for one in LINES for what in ("growth", "volume")},
        **dict.fromkeys((*shares, "providers"), Asked(ends=number)),
        "non_con_share": Asked(ends=number, category=line),
        "procurement_centralized": Asked(ends=word),
        **dict.fromkeys(texts, Asked(ends=("text",))),
    }


def _in_force(contracts: Iterable[Contract], category: str, as_of: str) -> tuple[Contract, ...]:
    """Contracts for the category on the date; ours first, so that an activation wins over a displacement."""
    order = {"US": 0, "MULTI": 1, "COMPETITOR": 2}
    found = [
        one
        for one in contracts
        if one.category == category and one.valid_from <= as_of and (not one.valid_to or as_of < one.valid_to)
    ]
    return tuple(sorted(found, key=lambda one: (order[one.awarded_to], one.gpo)))


def _places(evidence: Evidence) -> Frame:
    """`account_id`, `holder_account_id`: whom an account counts for, its system and, as a site that decides, itself."""
    of_system = evidence.holders.select("account_id", nw.col("system_account_id").alias("holder_account_id"))
    sites = evidence.holders.filter(nw.col("holder_account_id") != nw.col("system_account_id"))
    return stack([of_system, sites.select("account_id", "holder_account_id")])


def _own(accounts: Frame, places: Frame, con: Frame) -> Frame:
    """What the deciding organisation is by itself."""
    deciding = places.filter(nw.col("account_id") == nw.col("holder_account_id")).select("account_id")
    typed = _with_types(accounts.join(deciding, on="account_id", how="inner"))
    return typed.join(con, on="state", how="left").select(
        "account_id",
        nw.coalesce("other_kind", "kind").alias("own_kind"),
        nw.when(nw.col("kind") == "POST_ACUTE").then(nw.col("subtype")).alias("own_subtype"),
        cases(
            [(nw.col("kind") == "ASC", nw.col("con_asc")), (nw.col("kind") == "POST_ACUTE", nw.col("con_post_acute"))],
            nw.col("con"),
        ).alias("own_con"),
        nw.col("expansion").alias("own_expansion"),
        nw.col("practice").alias("own_practice"),
        nw.col("employees").alias("own_employees"),
        nw.col("annual_revenue_cents").alias("own_revenue_cents"),
    )


def _with_types(accounts: Frame) -> Frame:
    """Adds `kind`, `other_kind` and `subtype`. There are few types, and each is looked through once."""
    names = ("firm_type", "hospital_type", "account_type")
    typed = accounts.with_columns(_type=nw.concat_str([length_prefixed(nw.col(name)) for name in names]))
    types = typed.group_by("_type").agg(nw.col(*names).max())
    words = nw.col("_words")
    told = types.with_columns(_said=_said(), _words=named_kind().str.to_lowercase()).select(
        "_type",
        kind_of(words).alias("kind"),
        _other_kind(nw.col("_said")).alias("other_kind"),
        cases([(words.str.contains(pattern), kind) for pattern, kind in _SUBTYPES], null(TEXT)).alias("subtype"),
    )
    return typed.join(told, on="_type", how="left").drop("_type")


def own_kind() -> nw.Expr:
    """Kind of an account that gives no care: payer, purchasing group, investor, ...; null for all others."""
    return _other_kind(_said())


def _said() -> nw.Expr:
    return nw.coalesce("firm_type", "account_type").str.to_lowercase()


def _other_kind(words: nw.Expr) -> nw.Expr:
    return cases([(words.str.contains(pattern), kind) for pattern, kind in _OTHER_TYPES], null(TEXT))


_SUBTYPES = (
    ("skilled nursing|nursing facility|snf", "SNF"),
    ("long term acute|long-term acute|ltac", "LTACH"),
    ("rehabilitation|irf", "IRF"),
    ("home health", "HOME_HEALTH"),
    ("hospice", "HOSPICE"),
)


def _gpo(statements: Frame, category: str) -> Frame:
    """Whether a contract for the category is in force. A contract known for other dates only means: not covered."""
    rows = statements.filter(nw.col("fact") == "gpo_contract", nw.col("category") == category)
    covers = certain(nw.col("in_force")) & (nw.col("value").str.to_lowercase() != "none")
    ranked = rows.with_columns(covers=covers, order=cases([(covers, 0), (nw.col("in_force"), 1)], 2))
    first = first_by(ranked, ["account_id"], ["order", "fact_source", "value"])
    awards = statements.filter(
        nw.col("fact") == "gpo_award", nw.col("category") == category, certain(nw.col("in_force"))
    )
    award = first_by(awards, ["account_id"], ["valid_from", "fact_source", "value"], descending=["valid_from"])
    known = first.select("account_id", nw.col("covers").alias("gpo_known"), nw.col("fact_source").alias("gpo_ref"))
    said = award.select("account_id", nw.col("value").str.to_uppercase().alias("gpo_award"))
    return known.join(said, on="account_id", how="left")


def _with_org_type(table: Frame, policy: TierPolicy, segments: SegmentPolicy) -> Frame:
    """IDN by the profile of the policy; one hospital is what that hospital is; no hospital, what it is itself."""
    own_kind, apart = nw.col("own_kind"), nw.col("first_state") != nw.col("last_state")
    table = _with_lone_hospital(table, policy.classify["cah"]).with_columns(
        _own=nw.when(own_kind.is_in(list(_OWN_KINDS))).then(own_kind),
        # Whether its hospitals lie in more than one state; unknown where one place is and the others agree.
        _several_states=nw.when(apart | (nw.col("state_missing") == 0)).then(apart),
    )
    if segments.idn_profile == "key_network":
        low, high = _key_network(segments)
    else:
        table = _with_settled_network(table, policy.classify["idn"])
        low, high = _seed_network()
    central, least, several_states = nw.col("procurement_centralized_text"), nw.col("least"), nw.col("_several_states")
    count = nw.coalesce("hospitals", nw.lit(0)).cast(TEXT)
    known = text("confirmed in ", nw.col("procurement_centralized_ref"))
    source = text(
        count,
        " hospitals of the system; central procurement: ",
        nw.when(central.is_null()).then(nw.lit("not confirmed")).otherwise(known),
        "; providers: ",
        nw.when(~least.is_null() & nw.col("most").is_null()).then(nw.lit("at least ")),
        nw.coalesce(least.cast(TEXT), nw.lit("unknown")),
    )
    return table.with_columns(
        **bounds("org_type", low, high, source),
        own_type=own_kind,
        hospitals_count=nw.col("hospitals"),
        states_count=cases([(several_states, "several"), (~several_states, "one")], null(TEXT)),
    )


_OWN_KINDS = ("POST_ACUTE", "ASC", "PHYSICIAN_GROUP", "OTHER", *(kind for _, kind in _OTHER_TYPES))


def _with_settled_network(table: Frame, rule: Mapping[str, Any]) -> Frame:
    """Adds `_settled`: many hospitals, or several that buy centrally and spread over states or professionals."""
    alternative = rule.get("or") or {}
    fewest, upto = alternative.get("hospitals_between", [2, int(rule["min_hospitals"]) - 1])
    enough = int(alternative.get("min_affiliated_hcps", 0))
    hospitals, spread, most = nw.col("hospitals"), nw.col("_several_states"), nw.col("most")
    table = table.with_columns(
        _many=hospitals >= int(rule["min_hospitals"]),
        _several=(hospitals >= fewest) & (hospitals <= upto),
        _central=nw.col("procurement_centralized_text") == str(alternative.get("centralized", True)).lower(),
        _broad=spread | (nw.col("least") >= enough),
        _narrow=~spread & (most < enough),
    )
    many, some, central = nw.col("_many"), nw.col("_several"), nw.col("_central")
    settled = [
        (many | (some & central & nw.col("_broad")), "IDN"),
        ((some & (~central | nw.col("_narrow"))) | ((hospitals > upto) & ~many), "COMMUNITY_SYSTEM"),
    ]
    return table.with_columns(_settled=cases(settled, null(TEXT)))


def _seed_network() -> tuple[nw.Expr, nw.Expr]:
    """Lowest and highest reading: what is settled, else what several hospitals, one or none can be."""
    several, one = nw.col("_several"), nw.col("hospitals") == 1
    low = cases([(several, "COMMUNITY_SYSTEM"), (one, nw.col("_alone"))], nw.col("_own"))
    high = cases([(several, "IDN"), (one, nw.col("_likely"))], nw.col("_own"))
    return nw.coalesce("_settled", low), nw.coalesce("_settled", high)


def _key_network(segments: SegmentPolicy) -> tuple[nw.Expr, nw.Expr]:
    """Hospitals and professionals under one parent; a sum of professionals that is not known settles nothing."""
    knobs, hospitals, least, most = segments.key_network, nw.col("hospitals"), nw.col("least"), nw.col("most")
    sites = nw.coalesce("other_sites", nw.lit(0))
    enough, some = hospitals >= knobs.min_hospitals, hospitals >= 2
    small = (hospitals >= knobs.small_hospitals) & (sites >= knobs.small_sites)
    is_network = (enough & (least >= knobs.min_hcps)) | (small & (least >= knobs.small_hcps))
    may_be = (enough & ~certain(most < knobs.min_hcps)) | (small & ~certain(most < knobs.small_hcps))
    rest = [(some, "COMMUNITY_SYSTEM"), (hospitals == 1, nw.col("_alone"))]
    low = cases([(is_network, "IDN"), *rest], nw.col("_own"))
    likely = (hospitals == 1, nw.col("_likely"))
    return low, cases([(may_be, "IDN"), (some, "COMMUNITY_SYSTEM"), likely], nw.col("_own"))


_CERTIFICATES = ("ccn_block", "feed_flag")


def _with_lone_hospital(table: Frame, rule: Mapping[str, Any]) -> Frame:
    """Adds `_alone` and `_likely`, the lowest and highest reading of a single hospital.

    Certificate first, then beds and place where there is none.
    """
    limit = int(rule["max_beds"])
    small = nw.col("the_beds") <= limit if rule.get("max_beds_operator") == "lte" else nw.col("the_beds") < limit
    table = table.with_columns(_fits=small & nw.col("the_rural") if rule.get("require_rural", True) else small)
    asked = [
        nw.col({"ccn_block": "the_block", "feed_flag": "the_flag"}[one]) for one in rule.get("prefer", _CERTIFICATES)
    ]
    certified = [(one == "CAH", "CAH") for one in asked]
    refused = [(one == "NOT", "INDEPENDENT_HOSPITAL") for one in asked]
    fits = nw.col("_fits")
    table = table.with_columns(_known=cases([*certified, *refused, (fits, "CAH_LIKELY")], null(TEXT)))
    likely = nw.when(~fits).then(nw.lit("INDEPENDENT_HOSPITAL")).otherwise(nw.lit("CAH_LIKELY"))
    return table.with_columns(
        _alone=nw.coalesce("_known", nw.lit("INDEPENDENT_HOSPITAL")), _likely=nw.coalesce("_known", likely)
    )
