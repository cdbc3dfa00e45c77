"""The peer: the same joins and rules as the core, written by hand in Polars for one machine and this one policy.

No protocol, no second engine, no policy files: the default thresholds stand in the code. Its changes must be those of
the core, record by record and field by field; `bench/__main__.py` checks that before it prints a ratio.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from bench.peer_rules import ABBREVIATIONS, FIELDS, LEGAL, NON_CON, SHARED, STATUS_T1_HINTS

KEYS = ("definitive_id", "npi", "ccn", "domain", "name_zip")
ME = ["source", "source_id"]
c = pl.col


def run(made: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Changes: connection, record_id, field, crm, desired, kind."""
    parties = _parties(made)
    links = _link(parties)
    accounts = _enrich(made, links)
    tree = _climb(made, links, accounts)
    tiers = _tiers(accounts, tree)
    owners = _owners(made, links, accounts, tree)
    return _differences(made, _desired(made, links, accounts, tree, tiers, owners))


def _key(column: str) -> pl.Expr:
    text = c(column).str.normalize("NFKD").str.replace_all(r"\p{M}", "").str.replace_all("&", " and ", literal=True)
    text = text.str.replace_all("['’‘`´.]", "").str.to_lowercase().str.replace_all("[^a-z0-9]+", "  ")
    padded = pl.lit(" ") + text + pl.lit(" ")
    cleaned = padded.str.replace_many(ABBREVIATIONS).str.replace_many([f" {w} " for w in LEGAL], [""] * len(LEGAL))
    result = cleaned.str.replace_all(" +", " ").str.strip_chars()
    return pl.when(result != "").then(result)


def _parties(made: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    columns = ["name", "street", "city", "state", "zip5", "phone", "domain", "ccn", "npi"]
    firms = made["firms"].select(
        c("feed").alias("source"), c("firm_id").alias("source_id"), *columns, c("firm_id").alias("definitive_id")
    )
    records = (
        made["records"]
        .filter(~c("is_deleted").fill_null(value=False), c("merged_into").is_null())
        .select(c("connection").alias("source"), c("record_id").alias("source_id"), *columns, "definitive_id")
    )
    both = pl.concat([firms, records]).with_columns(
        name_key=_key("name"), street_key=_key("street"), city_key=_key("city")
    )
    valid_npi = c("npi").str.contains(r"^[12]\d{9}$")
    with_zip = pl.concat_str("name_key", "zip5", separator="|")
    with_city = pl.concat_str("name_key", "city_key", "state", separator="|")
    return both.with_columns(
        npi=pl.when(valid_npi).then(c("npi")),
        name_zip=pl.when(c("zip5").is_not_null()).then(with_zip).otherwise(with_city),
    )


def _link(parties: pl.DataFrame) -> pl.DataFrame:
    held = pl.concat(
        parties.filter(c(key).is_not_null()).select(
            *ME, pl.lit(key).alias("key"), c(key).alias("value"), pl.lit(index).alias("priority")
        )
        for index, key in enumerate(KEYS)
    ).with_columns(pl.len().over("source", "key", "value").alias("holders"))
    clusters = parties.select(*ME, pl.concat_str(*ME, separator="|").alias("cluster"), pl.lit("own").alias("how"))
    for source, earlier in (("salesforce", ["definitive"]), ("hubspot", ["definitive", "salesforce"])):
        chosen = _pairs(parties, held, clusters.filter(c("source").is_in(earlier)), source)
        clusters = (
            clusters.join(chosen, on=ME, how="left")
            .with_columns(cluster=pl.coalesce("cluster_right", "cluster"), how=pl.coalesce("key", "how"))
            .select(*ME, "cluster", "how")
        )
    first = (
        clusters.with_columns(
            order=pl.when(c("source") == "salesforce").then(1).when(c("source") == "hubspot").then(2).otherwise(3)
        )
        .sort("order", "source_id")
        .group_by("cluster", maintain_order=True)
        .agg(pl.concat_str(c("source").first(), c("source_id").first(), separator="|").alias("account_id"))
    )
    return clusters.join(first, on="cluster").select(*ME, "account_id", "how")


def _pairs(parties: pl.DataFrame, held: pl.DataFrame, targets: pl.DataFrame, source: str) -> pl.DataFrame:
    theirs = held.join(targets.select(*ME, "cluster"), on=ME)
    theirs = theirs.with_columns(c("cluster").n_unique().over("key", "value").alias("clusters"))
    theirs = theirs.filter(c("clusters") == 1).select(
        "key", "value", "cluster", c("source").alias("source_other"), c("source_id").alias("source_id_other")
    )
    mine = held.filter(c("source") == source, c("holders") == 1)
    compared = ["name_key", "street_key", "city_key", "zip5", "state", "phone", "domain"]
    pairs = (
        mine.join(theirs, on=["key", "value"])
        .join(parties.select(*ME, *compared), on=ME)
        .join(parties.select(*ME, *compared), left_on=["source_other", "source_id_other"], right_on=ME, suffix="_other")
        .filter((c("state") == c("state_other")).fill_null(value=True))
    )
    same = {name: (c(name) == c(f"{name}_other")).fill_null(value=False) for name in compared}
    agrees = same["name_key"] | same["street_key"] | same["phone"] | same["domain"]
    domain = same["name_key"] & (same["city_key"] | same["zip5"])
    enough = pl.when(c("key") == "name_zip").then(pl.lit(value=True)).when(c("key") == "domain").then(domain)
    kept = pairs.filter(enough.otherwise(agrees)).sort("priority", "cluster", "source_id")
    once = kept.unique(ME, keep="first", maintain_order=True).unique("cluster", keep="first", maintain_order=True)
    return once.select(*ME, "cluster", "key")


def _enrich(made: Mapping[str, pl.DataFrame], links: pl.DataFrame) -> pl.DataFrame:
    firm_ref = pl.concat_str("feed", pl.lit(":"), "file", pl.lit(":row "), c("row").cast(pl.String))
    firms = (
        made["firms"]
        .with_columns(ref=firm_ref, definitive_id=c("firm_id"))
        .join(
            links.filter(c("source") == "definitive").select(c("source_id").alias("firm_id"), "account_id"),
            on="firm_id",
        )
    )
    table = links.select("account_id").unique().join(firms, on="account_id", how="left")
    for source, suffix in (("salesforce", "_sf"), ("hubspot", "_hs")):
        mine = links.filter(c("source") == source).select(c("source_id").alias("record_id"), "account_id")
        records = made["records"].filter(c("connection") == source).join(mine, on="record_id")
        records = records.with_columns(ref=pl.lit(f"{source}:") + c("record_id"))
        table = table.join(
            records.select("account_id", *(c(n).alias(n + suffix) for n in (*SHARED, "ref"))),
            on="account_id",
            how="left",
        )
    crm_first, both = ("name", "phone", "domain", "employees", "annual_revenue_cents"), set(table.columns)
    chosen = []
    for name in SHARED:
        order = ["_sf", "_hs", ""] if name in crm_first else ["", "_sf", "_hs"]
        present = [suffix for suffix in order if name + suffix in both]
        source = pl.lit(None, dtype=pl.String)
        for suffix in reversed(present):
            source = pl.when(c(name + suffix).is_not_null()).then(c("ref" + suffix)).otherwise(source)
        chosen += [pl.coalesce(name + suffix for suffix in present).alias(name), source.alias(f"{name}__source")]
    return table.with_columns(chosen)


def _climb(made: Mapping[str, pl.DataFrame], links: pl.DataFrame, accounts: pl.DataFrame) -> pl.DataFrame:
    ids = links.filter(c("source") == "definitive").select(c("source_id").alias("vendor"), "account_id")
    firms = made["firms"]
    stated = pl.concat(
        [
            firms.select(c("firm_id").alias("child"), c("idn_id").alias("parent"), "row"),
            firms.select(c("idn_id").alias("child"), c("idn_parent_id").alias("parent"), "row"),
        ]
    ).filter(c("child") != c("parent"))
    pairs = stated.group_by("child", "parent").agg(c("row").min())
    edges = (
        pairs.join(ids, left_on="child", right_on="vendor")
        .join(ids, left_on="parent", right_on="vendor", suffix="_parent")
        .select("account_id", c("account_id_parent").alias("parent_id"), "row")
    )
    # Two stated parents control nothing: such a child stays a root.
    edges = edges.with_columns(pl.len().over("account_id").alias("rivals"))
    contested = edges.filter(c("rivals") > 1).select("account_id").unique().with_columns(conflict=pl.lit("NO_CONTROL"))
    edges = edges.filter(c("rivals") == 1)
    level = (
        accounts.select("account_id")
        .join(edges, on="account_id", how="anti")
        .with_columns(
            parent_id=pl.lit(None, dtype=pl.String), system_id=c("account_id"), depth=pl.lit(0), path=c("account_id")
        )
    )
    levels = [level]
    while level.height:
        above = level.select(c("account_id").alias("parent_id"), "system_id", c("depth") + 1, c("path").alias("above"))
        level = (
            edges.join(above, on="parent_id")
            .with_columns(path=pl.concat_str("above", "account_id", separator="/"))
            .select("account_id", "parent_id", "system_id", "depth", "path")
        )
        levels.append(level)
    tree = pl.concat(levels, how="diagonal_relaxed").join(contested, on="account_id", how="left")
    names = accounts.select(c("account_id").alias("system_id"), c("name").alias("system_name"))
    return tree.join(names, on="system_id", how="left").with_columns(pl.len().over("system_id").alias("members"))


def _tiers(accounts: pl.DataFrame, tree: pl.DataFrame) -> pl.DataFrame:
    kind = pl.concat_str("firm_type", c("hospital_type").fill_null(""), separator=" ").str.to_lowercase()
    kind = pl.coalesce(kind, c("account_type").str.to_lowercase())
    days = c("medicare_days_bp") + c("medicaid_days_bp") + c("other_days_bp")
    traits = accounts.join(tree.select("account_id", "system_id"), on="account_id").with_columns(
        kind=pl.when(kind.str.contains("idn|health system|corporate parent"))
        .then(pl.lit("SYSTEM"))
        .when(kind.str.contains("home health|hospice|nursing|rehabilitation|long term"))
        .then(pl.lit("POST_ACUTE"))
        .when(kind.str.contains("hospital|acute|psychiatric"))
        .then(pl.lit("HOSPITAL")),
        valid=days.is_between(9800, 10200).fill_null(value=False),
        free=c("state").is_in(NON_CON),
    )
    hospital = c("kind") == "HOSPITAL"
    revenue = pl.when(hospital & (c("net_patient_revenue_cents") > 0)).then(c("net_patient_revenue_cents"))
    gov = pl.when(hospital & c("valid")).then(c("medicare_days_bp") + c("medicaid_days_bp"))
    other = pl.when(hospital & c("valid")).then(c("other_days_bp"))
    line = revenue * c("oncology_share_bp")
    sums = traits.group_by("system_id").agg(
        hospital.sum().alias("hospitals"),
        (hospital & gov.is_null()).sum().alias("payer_missing"),
        (hospital & line.is_null()).sum().alias("line_missing"),
        (hospital & revenue.is_null()).sum().alias("revenue_missing"),
        revenue.sum().alias("revenue_sum"),
        (revenue * other).sum().alias("other_weight"),
        pl.when(c("free")).then(line).sum().alias("free_line"),
        (hospital & c("free")).sum().alias("free_sites"),
        pl.when(hospital).then(c("staffed_beds")).sum().alias("beds"),
        gov.min().alias("gov_min"),
        gov.max().alias("gov_max"),
        other.max().alias("other_max"),
        line.sum().alias("line"),
        pl.when(c("oncology_share_bp").is_not_null()).then(revenue).sum().alias("revenue"),
    )
    own = traits.filter(c("account_id") == c("system_id")).select(
        "system_id", c("kind").alias("own_kind"), c("free").alias("own_free")
    )
    big = c("line") >= c("revenue") * 1500
    line_known = (c("hospitals") > 0) & (c("line_missing") == 0) & (c("revenue") > 0)
    mean = (c("other_weight") * 2 + c("revenue_sum")) // (c("revenue_sum") * 2)
    private = pl.when((c("revenue_missing") == 0) & (c("revenue_sum") > 0)).then(mean).otherwise(c("other_max"))
    earned, free = c("line") // 10_000, c("free_line") // 10_000
    by_revenue = (c("hospitals") > 0) & (c("line_missing") == 0) & (earned > 0)
    free_bp = pl.when(by_revenue).then((free * 20000 + earned) // (earned * 2))
    facts = sums.join(own, on="system_id", how="left").with_columns(
        idn=pl.when(c("hospitals") >= 6)
        .then(pl.lit(value=True))
        .when(c("hospitals").is_between(2, 5))
        .then(None)
        .when((c("hospitals") == 1) | (c("own_kind") == "POST_ACUTE"))
        .then(pl.lit(value=False)),
        icp=pl.when(c("hospitals") >= 2)
        .then(pl.lit(value=True))
        .when((c("hospitals") == 1) | (c("own_kind") == "POST_ACUTE"))
        .then(pl.lit(value=False)),
        moderate=pl.when(line_known).then(big),
        strong=pl.when(line_known & ~big).then(pl.lit(value=False)),
        commercial=pl.when((c("hospitals") > 0) & (c("payer_missing") == 0) & (private < 5000)).then(
            pl.lit(value=False)
        ),
        free=pl.when(c("hospitals") > 0)
        .then(pl.coalesce(free_bp, c("free_sites") * 10000 // c("hospitals")) >= 5000)
        .otherwise(c("own_free")),
        no_gpo=pl.lit(None, dtype=pl.Boolean),
    )
    five = ["idn", "strong", "commercial", "free", "no_gpo"]
    true = pl.sum_horizontal(c(name).fill_null(value=False).cast(pl.Int64) for name in five)
    possible = pl.sum_horizontal(c(name).fill_null(value=True).cast(pl.Int64) for name in five)

    def at_least(count: int) -> pl.Expr:
        return pl.when(true >= count).then(pl.lit(value=True)).when(possible < count).then(pl.lit(value=False))

    judged = facts.with_columns(
        T1=pl.all_horizontal(five), T2=c("icp") & c("moderate") & at_least(3), T3=c("icp") & at_least(2)
    )
    known = c("idn").is_not_null() | c("moderate").is_not_null() | c("gov_min").is_not_null() | (c("hospitals") >= 2)
    hint = pl.concat_str(
        *(
            pl.when(c(name).is_null()).then(pl.lit(" and " + words)).otherwise(pl.lit(""))
            for name, words in STATUS_T1_HINTS.items()
        )
    ).str.slice(5)
    open_facts = _open_facts()
    holds = pl.when(c("T1")).then(pl.lit("T1")).when(c("T2")).then(pl.lit("T2")).when(c("T3")).then(pl.lit("T3"))
    return judged.select(
        "system_id",
        pl.when(known).then(holds.otherwise(pl.lit("UNTIERED"))).alias("account_tier"),
        pl.when(known & c("T1").is_null())
        .then(pl.lit("PROVISIONAL: T1 if ") + hint)
        .when(known & c("T2").is_null() & ~c("T1").fill_null(value=False))
        .then(pl.lit("PROVISIONAL: T2 depends on ") + open_facts)
        .when(known & c("T3").is_null() & ~c("T2").fill_null(value=False))
        .then(pl.lit("PROVISIONAL: T3 depends on ") + open_facts)
        .when(known)
        .then(pl.lit("CONFIRMED"))
        .alias("tier_status"),
        pl.when(c("own_kind") == "POST_ACUTE", c("hospitals") == 0).then(pl.lit("INSIDE_SALES")).alias("inside"),
    )


def _open_facts() -> pl.Expr:
    """Unknown facts under the unknown predicates of a tier, in the order of the alphabet."""
    conditions = {
        "commercial_bp": c("commercial").is_null(),
        "gpo_covered": c("no_gpo").is_null(),
        "non_con_bp": c("free").is_null(),
        "oncology_strength": c("strong").is_null(),
        "org_type": c("idn").is_null() | c("icp").is_null(),
        "providers": c("icp").is_null(),
    }
    return pl.concat_str(
        pl.when(condition).then(pl.lit(f", {name}")).otherwise(pl.lit("")) for name, condition in conditions.items()
    ).str.slice(2)


def _owners(
    made: Mapping[str, pl.DataFrame], links: pl.DataFrame, accounts: pl.DataFrame, tree: pl.DataFrame
) -> pl.DataFrame:
    users = made["users"].filter("is_active").select("connection", c("user_id").alias("owner"), "email")
    pipeline = (
        made["opportunities"].filter(~c("is_closed")).group_by("connection", "record_id").agg(c("amount_cents").sum())
    )
    mine = links.rename({"source": "connection", "source_id": "record_id"}).select(
        "connection", "record_id", "account_id"
    )
    held = (
        made["records"]
        .select("connection", "record_id", "owner")
        .join(users, on=["connection", "owner"])
        .join(mine, on=["connection", "record_id"])
        .join(tree.select("account_id", "system_id"), on="account_id")
        .join(pipeline, on=["connection", "record_id"], how="left")
        .with_columns(c("amount_cents").fill_null(0))
    )
    roots = held.filter(c("account_id") == c("system_id")).sort("connection", "record_id", descending=[True, False])
    root = roots.unique("system_id", keep="first", maintain_order=True).select("system_id", c("email").alias("root"))
    books = held.group_by("system_id", "email").agg(pl.len().alias("records"), c("amount_cents").sum())
    books = books.sort("records", "amount_cents", "email", descending=[True, True, False])
    most = books.unique("system_id", keep="first", maintain_order=True).select("system_id", c("email").alias("most"))
    units = tree.select("account_id", "system_id").join(root, on="system_id", how="left")
    return units.join(most, on="system_id", how="left").select("account_id", pl.coalesce("root", "most").alias("email"))


def _desired(
    made: Mapping[str, pl.DataFrame],
    links: pl.DataFrame,
    accounts: pl.DataFrame,
    tree: pl.DataFrame,
    tiers: pl.DataFrame,
    owners: pl.DataFrame,
) -> pl.DataFrame:
    live = links.filter(c("source") != "definitive").select(
        c("source").alias("connection"), c("source_id").alias("record_id"), "account_id"
    )
    single = live.with_columns(pl.len().over("connection", "account_id").alias("n")).filter(c("n") == 1)
    up = tree.select("account_id", "parent_id")
    here = single.select("connection", c("account_id").alias("at"), c("record_id").alias("native_parent"))
    climbing = (
        live.join(up, on="account_id")
        .filter(c("parent_id").is_not_null())
        .select("connection", c("parent_id").alias("start"), c("parent_id").alias("at"))
        .unique()
    )
    found = []
    while climbing.height:
        met = climbing.join(here, on=["connection", "at"])
        found.append(met.select("connection", c("start").alias("parent_id"), "native_parent"))
        left = climbing.join(met, on=["connection", "at"], how="anti")
        climbing = (
            left.join(up, left_on="at", right_on="account_id")
            .filter(c("parent_id").is_not_null())
            .select("connection", "start", c("parent_id").alias("at"))
        )
    users = made["users"].filter("is_active").group_by("connection", "email").agg(c("user_id").min().alias("owner"))
    events = _events(made, links)
    table = (
        live.join(tree, on="account_id")
        .join(pl.concat(found), on=["connection", "parent_id"], how="left")
        .join(owners, on="account_id", how="left")
        .join(users, on=["connection", "email"], how="left")
        .join(tiers, on="system_id", how="left")
        .join(events, on="account_id", how="left")
    )
    tier_queue = {"T1": "STRATEGIC", "T2": "ENTERPRISE"}
    by_tier = c("account_tier").replace_strict(tier_queue, default=None)
    root = c("parent_id").is_null() & c("conflict").is_null()
    return table.select(
        "connection",
        "record_id",
        c("native_parent").alias("parent"),
        pl.when(c("members") > 1).then(c("system_name")).alias("health_system"),
        "owner",
        pl.when(c("owner").is_not_null()).then(pl.lit("PRIMARY")).alias("owner_role"),
        pl.lit(None, dtype=pl.String).alias("territory"),
        pl.coalesce(by_tier, "inside", pl.lit("FIELD")).alias("routing_queue"),
        "account_tier",
        "tier_status",
        pl.when(c("reason").is_not_null()).then(pl.lit("true")).alias("rescore_flag"),
        c("reason").alias("rescore_reason"),
        root.alias("clears_parent"),
    )


def _events(made: Mapping[str, pl.DataFrame], links: pl.DataFrame) -> pl.DataFrame:
    now = made["firms"].select("firm_id", "as_of", c("idn_parent_id").alias("root"), c("idn_parent_name").alias("new"))
    before = made["previous_firms"].select(
        "firm_id", c("idn_parent_id").alias("was"), c("idn_parent_name").alias("old")
    )
    moved = now.join(before, on="firm_id").filter(c("root").ne_missing(c("was")), c("root").is_not_null())
    joined = c("was").is_null() | (c("was") == c("firm_id"))
    words = (
        pl.when(joined).then(pl.format("Joined {}", "new")).otherwise(pl.format("Moved from {} to {}", "old", "new"))
    )
    reason = pl.format("Ownership change: {} (as of {})", words, "as_of")
    ids = links.filter(c("source") == "definitive").select(c("source_id").alias("firm_id"), "account_id")
    return moved.select("firm_id", reason.alias("reason")).join(ids, on="firm_id").select("account_id", "reason")


def _differences(made: Mapping[str, pl.DataFrame], desired: pl.DataFrame) -> pl.DataFrame:
    """The three sides of every field; what is neither settled nor abstained from."""
    key = ["connection", "record_id"]
    sides = desired.join(made["records"].select(*key, *FIELDS), on=key, suffix="__crm")
    sides = sides.join(
        made["agreed"].select(*key, *FIELDS, *(f"{name}__kind" for name in FIELDS)), on=key, how="left", suffix="__base"
    )
    parts = []
    for name in FIELDS:
        crm, base, kind = c(f"{name}__crm"), c(f"{name}__base"), c(f"{name}__kind")
        clears = c("clears_parent") if name == "parent" else pl.lit(value=False)
        wanted = c(name).is_not_null() | clears
        moved = c(name).ne_missing(crm) | (kind.is_null() & c(name).is_not_null())
        state = (
            pl.when(c(name).eq_missing(crm))
            .then(pl.lit("agree"))
            .when(kind.is_null() & crm.is_null())
            .then(pl.lit("fill"))
            .when(kind.is_null())
            .then(pl.lit("takeover"))
            .when(crm.eq_missing(base))
            .then(pl.lit("update"))
            .when(base.eq_missing(c(name)))
            .then(pl.lit("drift"))
            .otherwise(pl.lit("conflict"))
        )
        parts.append(
            sides.filter(wanted & moved).select(
                *key, pl.lit(name).alias("field"), crm.alias("crm"), c(name).alias("desired"), state.alias("kind")
            )
        )
    return pl.concat(parts)
