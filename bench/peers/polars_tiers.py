"""Tiers by hand in Polars: sums per deciding organisation, facts as bounds, three-valued predicates, words."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from bench.peers.rules import (
    CON,
    DAYS,
    EXPANDED,
    FULL_PRACTICE,
    KIND_PATTERNS,
    LINES,
    NON_CON,
    OWN_KINDS,
    PREDICATES,
    STANDALONE_KINDS,
    STRONG_BP,
    WANTED,
)

c = pl.col
FACTS = ("commercial_bp", "gov_bp", "gpo_covered", "non_con_bp", "oncology_strength", "org_type", "providers")
_FIVE = ("is_idn", "target_strong", "commercial", "non_con", "no_gpo")


def null(dtype: type[pl.DataType] = pl.String) -> pl.Expr:
    """A typed null."""
    return pl.lit(None, dtype=dtype)


def text(value: str) -> pl.Expr:
    """A literal text."""
    return pl.lit(value)


def tiers(golden: pl.DataFrame, tree: pl.DataFrame) -> tuple[pl.LazyFrame, pl.DataFrame]:
    """TIERS of every account, which they inherit when somebody asks; and the facts and the verdict on every system."""
    traits = _traits(golden).join(tree.select("account_id", "system_account_id"), on="account_id")
    facts = _facts(traits, "system_account_id")
    judged = _judged(facts)
    # One hospital alone is no network, and every tier asks for one: only other kinds need judging by themselves.
    affiliates = traits.filter(c("account_id") != c("system_account_id"), c("kind").is_in(STANDALONE_KINDS))
    hospitals = affiliates.filter("h").select("account_id", alone=pl.lit("UNTIERED"))
    others = affiliates.filter(~c("h")).with_columns(system_account_id=c("account_id"))
    judged_alone = _judged(_facts(others, "system_account_id")).select(account_id="holder", alone="tier")
    alone = pl.concat([hospitals, judged_alone])
    own = pl.when(c("account_id") == c("holder_account_id")).then(c("tier"))
    of_accounts = (
        tree.lazy()
        .select("account_id", c("system_account_id").alias("holder_account_id"))
        .join(judged.lazy().rename({"holder": "holder_account_id"}), on="holder_account_id", how="left")
        .join(alone.lazy(), on="account_id", how="left")
        .with_columns(standalone_tier=pl.coalesce("alone", own))
        .drop("alone")
    )
    return of_accounts, facts.join(judged, on="holder", how="left")


def _traits(golden: pl.DataFrame) -> pl.DataFrame:
    words = pl.concat_str("firm_type", c("hospital_type").fill_null(""), separator=" ")
    kinds = golden.select(words=pl.coalesce(words, "account_type").str.to_lowercase()).to_series()
    found = kinds.unique().to_frame()
    kind = null()
    for pattern, name in reversed(KIND_PATTERNS):
        kind = pl.when(c("words").str.contains(pattern)).then(text(name)).otherwise(kind)
    meant = dict(found.with_columns(kind=kind).iter_rows())
    advantage, commercial = c("medicare_advantage_days_bp").fill_null(0), c("commercial_days_bp").fill_null(0)
    days = c("medicare_days_bp") + c("medicaid_days_bp") + c("other_days_bp") + advantage + commercial
    hospital = c("kind") == "HOSPITAL"
    adds_up = hospital & days.is_between(9800, 10200)
    revenue = c("net_patient_revenue_cents")
    vendor = c("ehr_vendor").str.to_lowercase()
    return golden.with_columns(kind=kinds.replace_strict(meant, return_dtype=pl.String)).with_columns(
        h=hospital.fill_null(value=False),
        revenue=pl.when(hospital & (revenue > 0)).then(revenue),
        gov=pl.when(adds_up).then(c("medicare_days_bp") + c("medicaid_days_bp") + advantage),
        private_lo=pl.when(adds_up).then(commercial),
        private_hi=pl.when(adds_up).then(pl.coalesce("commercial_days_bp", "other_days_bp")),
        free=c("state").is_in(NON_CON),
        ruled=c("state").is_in((*NON_CON, *CON)),
        vendor=pl.when(vendor.str.contains("epic"))
        .then(text("EPIC"))
        .when(vendor.str.contains("cerner|oracle"))
        .then(text("ORACLE"))
        .when(vendor.str.contains("meditech"))
        .then(text("MEDITECH"))
        .when(vendor.is_not_null())
        .then(text("OTHER")),
        it=pl.when(c("it_capabilities").str.to_lowercase().str.contains("fhir|data lake|api")).then(3),
    )


def _sums(traits: pl.DataFrame, by: str) -> pl.DataFrame:
    h, revenue = c("h"), c("revenue")
    lines = [
        expression
        for line in LINES
        for share in [c(f"{line}_share_bp")]
        for expression in (
            (share * revenue).sum().alias(f"{line}_part"),
            pl.when(share.is_not_null()).then(revenue).sum().alias(f"{line}_whole"),
            (h & (share.is_null() | revenue.is_null())).sum().cast(pl.Int64).alias(f"{line}_missing"),
        )
    ]
    shares = [
        expression
        for name in ("gov", "private_lo", "private_hi")
        for expression in (
            (c(name) * revenue).sum().alias(f"{name}_weight"),
            c(name).min().alias(f"{name}_min"),
            c(name).max().alias(f"{name}_max"),
        )
    ]
    weight = pl.when(h).then(c("staffed_beds").fill_null(1))
    beds = [
        pl.when(c("vendor") == vendor).then(weight).sum().alias(f"beds_{vendor}")
        for vendor in ("EPIC", "ORACLE", "MEDITECH", "OTHER")
    ]
    return traits.group_by(c(by).alias("holder")).agg(
        *(*lines, *shares, *beds),
        h.sum().cast(pl.Int64).alias("hospitals"),
        pl.when(h).then(c("staffed_beds")).sum().alias("beds_known"),
        (h & c("staffed_beds").is_null()).sum().cast(pl.Int64).alias("beds_missing"),
        (h & revenue.is_null()).sum().cast(pl.Int64).alias("revenue_missing"),
        revenue.sum().alias("revenue_sum"),
        (h & c("gov").is_null()).sum().cast(pl.Int64).alias("mix_missing"),
        (h & c("free")).sum().cast(pl.Int64).alias("free_sites"),
        (h & c("state").is_in(EXPANDED)).sum().cast(pl.Int64).alias("expanded_sites"),
        (h & c("state").is_in(FULL_PRACTICE)).sum().cast(pl.Int64).alias("practice_sites"),
        (h & ~c("ruled")).sum().cast(pl.Int64).alias("unruled"),
        pl.when(c("free")).then(c("oncology_share_bp") * revenue).sum().alias("free_part"),
        c("providers").sum().alias("providers_sum"),
        c("providers").count().alias("providers_stated"),
        (h & c("aco").is_not_null()).sum().alias("aco_hospitals"),
        c("it").max().cast(pl.Int64).alias("it_best"),
        *(c(name).filter(h).first().alias(f"the_{name}") for name in ("ccn", "is_critical_access")),
    )


def _facts(traits: pl.DataFrame, by: str) -> pl.DataFrame:
    """Per holder its sums, and per fact the bounds `__lo`, `__hi` and the source `__from`."""
    deciding = traits.filter(c("account_id") == c(by)).select(
        c("account_id").alias("holder"), c("kind").alias("own_kind"), c("state").alias("own_state")
    )
    table = _sums(traits, by).join(deciding, on="holder", how="left")
    h = c("hospitals")
    own = pl.when(c("own_kind").is_in(OWN_KINDS)).then(c("own_kind"))
    one = pl.when((c("the_ccn").str.slice(2, 2) == "13") | c("the_is_critical_access")).then(text("CAH"))
    lone = one.otherwise(text("INDEPENDENT_HOSPITAL"))
    low = pl.when(h >= 6).then(text("IDN")).when(h >= 2).then(text("COMMUNITY_SYSTEM")).when(h == 1).then(lone)
    people = pl.when(c("providers_stated") > 0).then(c("providers_sum"))
    counted = pl.concat_str(
        h.cast(pl.String),
        text(" hospitals of the system; central procurement: not confirmed; providers: "),
        people.cast(pl.String).fill_null("unknown"),
    )
    table = table.with_columns(
        org_type__lo=low.otherwise(own),
        org_type__hi=pl.when(h >= 2).then(text("IDN")).when(h == 1).then(lone).otherwise(own),
        org_type__from=counted,
        providers__lo=people,
        providers__hi=people,
        providers__from=pl.when(people.is_not_null()).then(text("providers in the feed")),
        gpo_covered__lo=null(pl.Boolean),
        gpo_covered__hi=null(pl.Boolean),
        gpo_covered__from=null(),
        **_strengths(),
    )
    return table.with_columns(
        oncology_strength__lo=c("oncology__lo"),
        oncology_strength__hi=c("oncology__hi"),
        oncology_strength__from=pl.when(c("oncology__lo").is_not_null()).then(
            text("oncology share of revenue in the feed")
        ),
        **_payers(),
        **_sites(),
    )


def _strengths() -> dict[str, pl.Expr]:
    made = {}
    for line in LINES:
        complete = (c("hospitals") > 0) & (c(f"{line}_missing") == 0) & (c(f"{line}_whole") > 0)
        whole = pl.when(complete).then(c(f"{line}_whole"))
        large = c(f"{line}_part") >= whole * STRONG_BP
        made[f"{line}__lo"] = pl.when(large).then(text("MODERATE")).when(~large).then(text("WEAK"))
        made[f"{line}__hi"] = pl.when(large).then(text("STRONG")).when(~large).then(text("WEAK"))
        made[f"{line}_bp"] = (c(f"{line}_part") * 2 + whole) // (whole * 2)
    return made


def _payers() -> dict[str, pl.Expr]:
    complete = (c("hospitals") > 0) & (c("mix_missing") == 0)
    whole = c("revenue_sum")

    def weighted(name: str, end: str) -> pl.Expr:
        mean = (c(f"{name}_weight") * 2 + whole) // (whole * 2)
        weighable = (c("revenue_missing") == 0) & (whole > 0)
        return pl.when(complete).then(pl.when(weighable).then(mean).otherwise(c(f"{name}_{end}")))

    return {
        "gov_bp__lo": weighted("gov", "min"),
        "gov_bp__hi": weighted("gov", "max"),
        "gov_bp__from": pl.when(complete).then(text(DAYS)),
        "commercial_bp__lo": weighted("private_lo", "min"),
        "commercial_bp__hi": weighted("private_hi", "max"),
        "commercial_bp__from": pl.when(complete).then(text("days in the feed, an upper bound of the commercial share")),
        "payer_note": pl.when(complete).then(text(f"basis: {DAYS}")),
    }


def _sites() -> dict[str, pl.Expr]:
    h, whole, free = c("hospitals"), c("oncology_part") // 10_000, c("free_part") // 10_000
    earned = (h > 0) & (c("oncology_missing") == 0) & (whole > 0) & (c("unruled") == 0)
    by_revenue = (free * 20_000 + whole) // (whole * 2)
    own = pl.when(c("own_state").is_in(NON_CON)).then(10_000).when(c("own_state").is_in(CON)).then(0)

    def share(sites: pl.Expr) -> pl.Expr:
        return pl.when(earned).then(by_revenue).when(h > 0).then(sites * 10_000 // h).otherwise(own)

    low = share(c("free_sites"))
    source = pl.when(earned).then(text("oncology revenue at sites outside certificate of need"))
    sites = {"expansion_bp": ("expanded_sites", EXPANDED), "full_practice_bp": ("practice_sites", FULL_PRACTICE)}
    laws = {
        name: pl.when(h > 0)
        .then(c(count) * 10_000 // h)
        .otherwise(c("own_state").is_in(states).cast(pl.Int64) * 10_000)
        for name, (count, states) in sites.items()
    }
    return {
        **laws,
        "non_con_bp__lo": low,
        "non_con_bp__hi": share(c("free_sites") + c("unruled")),
        "non_con_bp__from": source.when(low.is_not_null()).then(text("certificate-of-need rules of the sites' states")),
    }


def _equal(fact: str, *values: str) -> pl.Expr:
    low, high = c(f"{fact}__lo").is_in(values), c(f"{fact}__hi").is_in(values)
    return pl.when(low & high).then(pl.lit(value=True)).when(~low & ~high).then(pl.lit(value=False))


def _least(fact: str, value: int) -> pl.Expr:
    low, high = c(f"{fact}__lo"), c(f"{fact}__hi")
    return pl.when(low >= value).then(pl.lit(value=True)).when(high < value).then(pl.lit(value=False))


def _at_least(count: int) -> pl.Expr:
    true = pl.sum_horizontal(c(name).fill_null(value=False).cast(pl.Int64) for name in _FIVE)
    possible = pl.sum_horizontal(c(name).fill_null(value=True).cast(pl.Int64) for name in _FIVE)
    return pl.when(true >= count).then(pl.lit(value=True)).when(possible < count).then(pl.lit(value=False))


def _judged(facts: pl.DataFrame) -> pl.DataFrame:
    """The verdict on every holder, in the columns of TIERS."""
    physicians = _equal("org_type", "PHYSICIAN_GROUP") & _least("providers", 50)
    table = facts.with_columns(
        is_idn=_equal("org_type", "IDN"),
        icp_type=_equal("org_type", "IDN", "COMMUNITY_SYSTEM") | physicians,
        target_mod=_equal("oncology_strength", "STRONG", "MODERATE"),
        target_strong=_equal("oncology_strength", "STRONG"),
        commercial=_least("commercial_bp", 5000),
        gov_heavy=_least("gov_bp", 6001),
        non_con=_least("non_con_bp", 5000),
        no_gpo=~c("gpo_covered__lo"),
    ).with_columns(
        T1=pl.all_horizontal(_FIVE), T2=c("icp_type") & c("target_mod") & _at_least(3), T3=c("icp_type") & _at_least(2)
    )
    could_be, blocking, hint = _open_tier()
    known = [c(f"{fact}__lo").is_not_null() for fact in FACTS if fact != "non_con_bp"]
    letters = [
        part
        for place, name in enumerate(PREDICATES)
        for part in (
            text((", " if place else "") + f"{name}="),
            pl.when(c(name)).then(text("T")).when(~c(name)).then(text("F")).otherwise(text("U")),
        )
    ]
    holds = pl.when(c("T1")).then(text("T1")).when(c("T2")).then(text("T2")).when(c("T3")).then(text("T3"))
    status = pl.concat_str(text("PROVISIONAL: "), could_be, text(" "), hint).fill_null("CONFIRMED")
    return table.select(
        "holder",
        holds.otherwise(text("UNTIERED")).alias("tier"),
        could_be.is_not_null().alias("provisional"),
        could_be.alias("could_be"),
        blocking.alias("blocking"),
        status.alias("tier_status"),
        pl.concat_str(letters).alias("predicates"),
        _evidence().alias("evidence"),
        pl.any_horizontal(known).alias("is_known"),
    )


def _open_tier() -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """The best tier that is unknown while no better one holds; the facts it depends on; and what would settle it."""
    wanted = [(c(name).is_null(), f" and {words}") for name, words in WANTED.items()]
    hints = [
        pl.concat_str(text("if "), _listed(wanted).str.slice(5)),
        *(pl.concat_str(text("depends on "), _blocking(tier, ", ")) for tier in ("T2", "T3")),
    ]
    return (
        _of_open([text("T1"), text("T2"), text("T3")]),
        _of_open([_blocking(tier, ",") for tier in ("T1", "T2", "T3")]),
        _of_open(hints),
    )


def _of_open(values: list[pl.Expr]) -> pl.Expr:
    first, second, third = values
    return (
        pl.when(c("T1"))
        .then(null())
        .when(c("T1").is_null())
        .then(first)
        .when(c("T2"))
        .then(null())
        .when(c("T2").is_null())
        .then(second)
        .when(c("T3"))
        .then(null())
        .when(c("T3").is_null())
        .then(third)
    )


def _blocking(tier: str, separator: str) -> pl.Expr:
    """Facts that are open under the unknown predicates of a tier, in the order of the alphabet."""
    strong = c("target_strong").is_null() if tier != "T2" else c("target_strong").is_null() | c("target_mod").is_null()
    typed = c("is_idn").is_null() if tier == "T1" else c("is_idn").is_null() | c("icp_type").is_null()
    unknown = {
        "commercial_bp": c("commercial").is_null(),
        "gpo_covered": c("no_gpo").is_null(),
        "non_con_bp": c("non_con").is_null(),
        "oncology_strength": strong,
        "org_type": typed,
        "providers": c("icp_type").is_null() if tier != "T1" else pl.lit(value=False),
    }
    listed = [(holds & ~_settled(fact), separator + fact) for fact, holds in unknown.items()]
    return _listed(listed).str.slice(len(separator))


def _settled(fact: str) -> pl.Expr:
    return (c(f"{fact}__lo") == c(f"{fact}__hi")).fill_null(value=False)


def _listed(parts: Iterable[tuple[pl.Expr, str]]) -> pl.Expr:
    return pl.concat_str(pl.when(holds).then(text(words)).otherwise(text("")) for holds, words in parts)


def _evidence() -> pl.Expr:
    """The known facts as JSON, each with its source."""
    parts = []
    for fact in FACTS:
        low, high = (c(f"{fact}__{end}").cast(pl.String) for end in ("lo", "hi"))
        value = pl.when(_settled(fact)).then(low).otherwise(pl.concat_str(low, text(" to "), high.fill_null("?")))
        source = c(f"{fact}__from").fill_null("")
        told = pl.concat_str(text(f',"{fact}":{{"is":"'), value, text('","from":"'), source, text('"}'))
        parts.append(pl.when(low.is_not_null()).then(told).otherwise(text("")))
    return pl.concat_str(text("{"), pl.concat_str(parts).str.slice(1), text("}"))
