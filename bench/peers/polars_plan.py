"""The plan by hand in Polars: what every record should say, the three sides of each field, groups, order, guards."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from bench.peers.rules import (
    ACTIONS,
    CAUTION,
    FIELDS,
    FOLLOWERS,
    GROUPS,
    SEVERITY,
    STATES,
    TIER_ORDER,
    Guard,
    limit,
)

c = pl.col
KEY = ["connection", "record_id"]
_KINDS = ("base_kind", "base", "crm_kind", "crm", "desired_kind", "desired")
CHANGES = (
    *("item_id", *KEY, "account_id", "account_name", "group", "field", *_KINDS, "state", "action", "rule_id"),
    *("evidence", "reason", "actor_kind", "actor", "changed_at"),
)
ITEMS = (
    *("item_id", "fingerprint", *KEY, "account_id", "account_name", "group", "fields", "state", "action", "lane"),
    *("depth", "sequence", "caused_by", "reason"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What the rules found out about accounts."""

    links: pl.DataFrame
    golden: pl.DataFrame
    tree: pl.DataFrame
    systems: pl.DataFrame  # facts, verdict and profile of every system
    owners: pl.DataFrame
    moves: pl.DataFrame


def json(expression: pl.Expr) -> pl.Expr:
    """A text between the quotes of a JSON string."""
    return expression.str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)


def told(*parts: str | pl.Expr) -> pl.Expr:
    """Texts and columns joined, null as nothing."""
    return pl.concat_str([pl.lit(p) if isinstance(p, str) else p for p in parts], ignore_nulls=True)


def desired(made: Mapping[str, pl.DataFrame], found: Decided) -> pl.LazyFrame:
    """Every live record with all that its wanted values and their evidence are made of; texts come later, for few."""
    members = pl.len().over("system_account_id") > 1
    names = found.golden.lazy().select(c("account_id").alias("parent_account_id"), c("name").alias("parent_name"))
    kinds = ["POST_ACUTE", "ASC"]
    systems = found.systems.lazy().select(
        *(
            c("holder_account_id").alias("system_account_id"),
            c("account_tier").alias("tier"),
            "tier_status",
            "is_known",
        ),
        *(c("evidence").alias("facts"), "band", c("score_tenths").alias("tenths"), c("coverage_bp").alias("coverage")),
        (c("org_type__lo").is_in(kinds) & c("org_type__hi").is_in(kinds)).alias("inside"),
    )
    owners = found.owners.lazy().select(
        "account_id", "owner_email", "owner_role", c("rule").alias("owner_rule"), c("evidence").alias("owner_evidence")
    )
    about = (
        found.tree.lazy()
        .select("account_id", "parent_account_id", "system_account_id", "system_name", "depth", "basis", "conflict",
                "source_ref", members.alias("in_system"))
        .join(names, on="parent_account_id", how="left")
        .join(systems, on="system_account_id", how="left")
        .join(owners, on="account_id", how="left")
        .join(found.moves.lazy(), on="account_id", how="left")
        .join(found.golden.lazy().select("account_id", "name"), on="account_id", how="left")
    )  # fmt: skip
    own, above = c("idn_id") == c("firm_id"), pl.coalesce("idn_parent_id", "idn_id") == c("firm_id")
    vendors = made["firms"].lazy().filter(own, above).select(source_id="firm_id", named_root=pl.lit(value=True))
    firms = found.links.lazy().filter(c("source") == "definitive").select("source_id", "account_id")
    about = about.join(firms.join(vendors, on="source_id").drop("source_id"), on="account_id", how="left")
    records = (
        found.links.lazy()
        .filter(c("source") != "definitive")
        .select(c("source").alias("connection"), c("source_id").alias("record_id"), "account_id")
    )
    users = (
        made["users"]
        .lazy()
        .filter("is_active")
        .group_by("connection", c("email").alias("owner_email"))
        .agg(c("user_id").min().alias("native_owner"))
    )
    parents = _native_parents(records.collect(), found.tree).lazy()
    return (
        records.join(about, on="account_id")
        .join(parents, on=["connection", "parent_account_id"], how="left")
        .join(users, on=["connection", "owner_email"], how="left")
        .with_columns(member_of=pl.when("in_system").then(c("system_name")))
    )


def _native_parents(records: pl.DataFrame, tree: pl.DataFrame) -> pl.DataFrame:
    """Per connection and parent account the nearest record at it or above it; several records there give none."""
    up = tree.filter(c("parent_account_id").is_not_null()).select(c("account_id").alias("at"), "parent_account_id")
    holders = records.group_by("connection", c("account_id").alias("at")).agg(
        pl.len().alias("holders"), c("record_id").min().alias("native_parent")
    )
    holders = holders.with_columns(native_parent=pl.when(c("holders") == 1).then(c("native_parent")))
    starts = up.select(c("parent_account_id").alias("start")).unique()
    climbing = starts.join(records.select("connection").unique(), how="cross").with_columns(at=c("start"))
    found = []
    while climbing.height:
        looked = climbing.join(holders, on=["connection", "at"], how="left")
        found.append(
            looked.filter(c("holders").is_not_null()).select("connection", "start", "native_parent", "holders")
        )
        left = looked.filter(c("holders").is_null()).select("connection", "start", "at")
        climbing = left.join(up, on="at").select("connection", "start", c("parent_account_id").alias("at"))
    return pl.concat(found).rename({"start": "parent_account_id"})


def values() -> list[pl.Expr]:
    """The wanted value of every field, null where nothing is known, and whether the parent is to be emptied."""
    known = c("is_known").fill_null(value=False)
    queue = c("tier").replace_strict({"T1": "STRATEGIC", "T2": "ENTERPRISE"}, default=None)
    inside = pl.when("inside").then(pl.lit("INSIDE_SALES"))
    alone = (c("native_parent") != c("record_id")) & c("conflict").is_null()
    flag = pl.when(c("reason").is_not_null())
    return [
        pl.when(alone).then(c("native_parent")).alias("parent"),
        c("member_of").alias("health_system"),
        c("native_owner").alias("owner"),
        pl.when(c("native_owner").is_not_null()).then(c("owner_role")).alias("owner_role"),
        pl.lit(None, dtype=pl.String).alias("territory"),
        pl.coalesce(queue, inside, pl.lit("FIELD")).alias("routing_queue"),
        pl.when(known).then(c("tier")).alias("account_tier"),
        pl.when(known).then(c("tier_status")).alias("tier_status"),
        pl.when(c("band") != "INSUFFICIENT").then(((c("tenths") + 5) // 10).cast(pl.String)).alias("score"),
        flag.then(pl.lit("true")).alias("rescore_flag"),
        c("reason").alias("rescore_reason"),
    ]


_QUEUE = pl.when(c("tier") == "T1").then(pl.lit("tier-1")).when(c("tier") == "T2").then(pl.lit("tier-2"))


def _because() -> dict[str, tuple[pl.Expr, pl.Expr]]:
    """Rule and evidence per field, made only for the records that differ."""
    source = json(c("source_ref").fill_null(""))
    note = (
        pl.when(c("conflict") == "NO_CONTROL")
        .then(pl.lit("no parent controls it"))
        .when(c("parent_account_id").is_null())
        .then(pl.lit("no parent is known"))
        .when(c("holders") > 1)
        .then(pl.lit("its parent has several records in this CRM"))
        .when(c("native_parent") == c("record_id"))
        .then(pl.lit("it would be its own parent"))
        .when(c("native_parent").is_null())
        .then(pl.lit("no organisation above it has a record in this CRM"))
    )
    parent = told('{"parent":"', json(c("parent_name").fill_null("")), '","basis":"', c("basis"), '","from":"', source,
                  '","note":"', note, '"}')  # fmt: skip
    system = told('{"system":"', json(c("member_of").fill_null("")), '","from":"', source, '"}')
    owner, owner_rule = c("owner_evidence"), told("territory.", c("owner_rule").fill_null("none"))
    missing = told('{"owner":"', c("owner_email"), '","note":"has no active user in this CRM"}')
    lacking = c("owner_email").is_not_null() & c("native_owner").is_null()
    owner = pl.when(lacking).then(missing).otherwise(owner)
    queue_rule = told("routing.", _QUEUE.when("inside").then(pl.lit("inside-sales")).otherwise(pl.lit("default")))
    queue = told('{"tier":"', c("tier"), '","owner_role":"', c("owner_role"), '"}')
    tier = told("tiers.", c("tier")), c("facts")
    exact = told((c("tenths") // 10).cast(pl.String), ".", (c("tenths") % 10).cast(pl.String))
    known = told('","known":"', (c("coverage") // 100).cast(pl.String), " % of the weight")
    event = told('{"events":"1","from":"', json(c("ref").fill_null("")), '"}')
    flag = pl.lit("triggers.ownership_change"), event
    return {
        "parent": (told("hierarchy.", c("basis")), parent),
        "health_system": (pl.lit("hierarchy.system"), system),
        "owner": (owner_rule, owner),
        "owner_role": (owner_rule, owner),
        "territory": (pl.lit("territory.state"), pl.lit("{}")),
        "routing_queue": (queue_rule, queue),
        "account_tier": tier,
        "tier_status": tier,
        "score": (told("scores.", c("band")), told('{"score":"', exact, '","band":"', c("band"), known, '"}')),
        "rescore_flag": flag,
        "rescore_reason": flag,
    }


def differences(made: Mapping[str, pl.DataFrame], wanted: pl.LazyFrame) -> pl.DataFrame:
    """CHANGES without their items: the fields that are neither settled nor abstained from."""
    records = (
        made["records"]
        .lazy()
        .select(
            *KEY, "is_deleted", "merged_into", "modified_by", "modified_at", *(c(n).alias(f"{n}__crm") for n in FIELDS)
        )
    )
    agreed = (
        made["agreed"].lazy().select(*KEY, *(c(n).alias(f"{n}__base") for n in FIELDS), *(f"{n}__kind" for n in FIELDS))
    )
    sides = wanted.with_columns(values()).join(records, on=KEY).join(agreed, on=KEY, how="left")
    opened = {name: _is_open(name) for name in FIELDS}
    few = sides.filter(pl.any_horizontal(opened.values())).collect()
    because = _because()
    parts = [_of_field(few.lazy().filter(opened[name]), name, *because[name]) for name in FIELDS]
    rows = pl.concat(parts).collect()
    return _with_reasons(_with_action(rows), made)


def _is_open(name: str) -> pl.Expr:
    crm, base, agreed = c(f"{name}__crm"), c(f"{name}__base"), c(f"{name}__kind").is_in(["value", "empty"])
    agreed = agreed.fill_null(value=False)
    abstains = c(name).is_null() & ~_clears(name)
    quiet = agreed & crm.eq_missing(base) & (abstains | crm.eq_missing(c(name)))
    return ~(quiet | (abstains & ~agreed))


def _clears(name: str) -> pl.Expr:
    """Only a parent is ever emptied: of whom the vendor names as its own system."""
    if name != "parent":
        return pl.lit(value=False)
    return c("parent_account_id").is_null() & c("conflict").is_null() & c("named_root").fill_null(value=False)


def _of_field(rows: pl.LazyFrame, name: str, rule: pl.Expr, evidence: pl.Expr) -> pl.LazyFrame:
    crm, base = c(f"{name}__crm"), c(f"{name}__base")
    known = pl.when(c(name).is_not_null()).then(pl.lit("value"))
    return rows.select(
        *(*KEY, "account_id", c("name").alias("account_name"), "depth", c("member_of").alias("system"), "old_system"),
        *("modified_by", "modified_at", pl.lit(name).alias("field"), pl.lit(GROUPS[name]).alias("group")),
        c(f"{name}__kind").fill_null("nobase").alias("base_kind"),
        base.alias("base"),
        pl.when(crm.is_not_null()).then(pl.lit("value")).otherwise(pl.lit("empty")).alias("crm_kind"),
        crm.alias("crm"),
        known.when(_clears(name)).then(pl.lit("clear")).otherwise(pl.lit("abstain")).alias("desired_kind"),
        c(name).alias("desired"),
        rule.alias("rule_id"),
        evidence.alias("evidence"),
    )


def _with_action(rows: pl.DataFrame) -> pl.DataFrame:
    never = ~c("base_kind").is_in(["value", "empty"])
    crm, base, wanted = c("crm"), c("base"), c("desired")
    x_d, x_b, d_b = crm.eq_missing(wanted), crm.eq_missing(base), wanted.eq_missing(base)
    abstains = c("desired_kind") == "abstain"
    state = (
        pl.when(abstains)
        .then(pl.lit("released"))
        .when(never & x_d)
        .then(pl.lit("baseline"))
        .when(x_d)
        .then(pl.lit("converged"))
        .when((c("desired_kind") == "clear") & ~never & x_b)
        .then(pl.lit("clear"))
        .when((c("base_kind") == "nobase") & c("crm").is_null())
        .then(pl.lit("fill"))
        .when(never)
        .then(pl.lit("takeover"))
        .when(x_b)
        .then(pl.lit("update"))
        .when(d_b)
        .then(pl.lit("drift"))
        .otherwise(pl.lit("conflict"))
    )
    table = pl.DataFrame(
        [(group, name, action) for group, row in ACTIONS.items() for name, action in zip(STATES, row, strict=True)],
        schema=["group", "state", "action"],
        orient="row",
    )
    decided = rows.with_columns(state=state).join(table, on=["group", "state"], how="left", maintain_order="left")
    forbids = (c("desired_kind") == "clear") & c("group").is_in(["hierarchy", "system"]) & (c("action") == "auto")
    return decided.with_columns(
        action=pl.when(forbids).then(pl.lit("review")).otherwise(c("action").fill_null("agree")),
        actor_kind=pl.lit("unknown"),
        actor=pl.when(c("crm_kind") == "value").then(c("modified_by")),
        changed_at=pl.when(c("crm_kind") == "value").then(c("modified_at")),
    )


def _with_reasons(rows: pl.DataFrame, made: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """What the CRM would refuse is blocked: inactive owners, parents that are not there, accounts with a team."""
    users = made["users"].select("connection", c("user_id").alias("desired"), c("is_active").alias("ok"))
    live = made["records"].filter(~c("is_deleted").fill_null(value=False), c("merged_into").is_null())
    parents = live.select("connection", c("record_id").alias("desired"), pl.lit(value=True).alias("there"))
    teams = made["team_members"].group_by(KEY).agg(pl.len().alias("team"))
    joined = rows.join(users, on=["connection", "desired"], how="left", maintain_order="left")
    wanted = parents.join(rows.filter(c("field") == "parent"), on=["connection", "desired"], how="semi")
    joined = joined.join(wanted, on=["connection", "desired"], how="left", maintain_order="left")
    joined = joined.join(teams, on=KEY, how="left", maintain_order="left")
    is_owner, is_value = c("field") == "owner", c("desired_kind") == "value"
    many = pl.when(c("team") == 1).then(pl.lit(" member")).otherwise(pl.lit(" members"))
    team = told("account team has ", c("team").cast(pl.String), many, "; an owner change by REST would drop it")
    reason = (
        pl.when(is_owner & is_value & c("ok").is_null())
        .then(pl.lit("the proposed owner is not a user of this CRM; check the roster"))
        .when(is_owner & is_value & ~c("ok"))
        .then(pl.lit("the proposed owner is inactive in this CRM; name a successor"))
        .when(is_owner & (c("team") > 0))
        .then(team)
        .when((c("field") == "parent") & is_value & c("there").is_null())
        .then(pl.lit("the proposed parent is not a live account of this CRM; pull again"))
    )
    judged = joined.with_columns(why=reason).with_columns(bad=c("why").is_not_null() & (c("action") != "agree"))
    return judged.with_columns(
        reason=pl.when("bad").then(c("why")).cast(pl.String),
        state=pl.when("bad").then(pl.lit("invalid")).otherwise(c("state")),
        action=pl.when("bad").then(pl.lit("blocked")).otherwise(c("action")),
    ).drop("ok", "there", "team", "why", "bad")


def items(rows: pl.DataFrame, made: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """ITEMS: one per record and group that needs a write or a decision, in order."""
    place = c("field").replace_strict({name: i for i, name in enumerate(FIELDS)}, return_dtype=pl.UInt8)
    severity = {state: i for i, state in enumerate(("invalid", *SEVERITY))}
    caution = {action: i for i, action in enumerate(CAUTION)}
    listed = rows.filter(c("action") != "agree").with_columns(
        text=pl.concat_str(_prefixed(name) for name in ("field", *_KINDS)), place=place,
        s=c("state").replace_strict(severity, return_dtype=pl.UInt8),
        a=c("action").replace_strict(caution, return_dtype=pl.UInt8),
    ).sort("place")  # fmt: skip
    grouped = listed.group_by(*KEY, "group", maintain_order=True).agg(
        *(c(name).first() for name in ("account_id", "account_name", "depth")),
        c("field").str.join(",").alias("fields"),
        c("text").str.join("").alias("text"),
        c("s").min(),
        c("a").min(),
        c("reason").sort_by("a", "place").drop_nulls().first(),
    )
    adopting = rows.filter(c("action") == "agree", c("state").is_in(["takeover", "drift", "conflict"]))
    adopted = adopting.select(*KEY, "group", pl.lit(value=True).alias("adopted")).unique()
    grouped = grouped.join(adopted, on=[*KEY, "group"], how="left", maintain_order="left")
    head = pl.concat_str(_prefixed("connection"), pl.lit("7:account"), _prefixed("record_id"), "text")
    texts = grouped.select(head).to_series().to_list()
    prints = [hashlib.sha256(value.encode()).hexdigest() for value in texts]
    careful = pl.when(c("adopted") & (c("a") > caution["review"])).then(caution["review"]).otherwise(c("a"))
    named = grouped.with_columns(
        fingerprint=pl.Series(prints, dtype=pl.String),
        state=c("s").replace_strict({i: n for n, i in severity.items()}, return_dtype=pl.String),
        action=careful.replace_strict({i: n for n, i in caution.items()}, return_dtype=pl.String),
        lane=pl.lit("conditional"),
    ).with_columns(item_id=c("fingerprint").str.slice(0, 16))
    return _ordered(named, rows, made)


def _prefixed(name: str) -> pl.Expr:
    """The text behind its number of characters, '~' for null: no two cells read the same."""
    return pl.concat_str(c(name).str.len_chars().cast(pl.String), pl.lit(":"), c(name)).fill_null("~")


def _ordered(table: pl.DataFrame, rows: pl.DataFrame, made: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Parents first, top down; then what follows from them; then the rest."""
    live = made["records"].filter(
        ~c("is_deleted").fill_null(value=False), c("merged_into").is_null(), c("parent").is_not_null()
    )
    today = live.select(*KEY, "parent")
    writable = c("action").is_in(["review", "approve", "auto"])
    causes = table.filter(c("group") == "hierarchy", writable).select(*KEY, c("item_id").alias("cause"))
    waits = _awaited(rows, today).join(
        causes.rename({"record_id": "first", "cause": "before"}), on=["connection", "first"]
    )
    known = frontier = causes
    while frontier.height:
        above = frontier.rename({"record_id": "parent"})
        below = today.join(above, on=["connection", "parent"]).select(*KEY, "cause")
        frontier = below.join(known, on=KEY, how="anti")
        known = pl.concat([known, frontier])
    caused = table.join(known, on=KEY, how="left").join(waits.select(*KEY, "before"), on=KEY, how="left")
    is_parent = c("group") == "hierarchy"
    caused = caused.with_columns(
        caused_by=pl.when(is_parent).then(c("before")).when(c("group").is_in(FOLLOWERS)).then(c("cause"))
    )
    wave = pl.when(is_parent).then(0).when(c("caused_by").is_not_null()).then(1).otherwise(2)
    ordered = caused.sort(wave, "depth", *KEY, "group").with_row_index("sequence", offset=1)
    return ordered.with_columns(c("sequence").cast(pl.Int64)).select(ITEMS)


def _awaited(rows: pl.DataFrame, today: pl.DataFrame) -> pl.DataFrame:
    """Moves that today's parents would make a circle of, and the nearest one that must come first."""
    moves = rows.filter(c("field") == "parent", c("action").is_in(["review", "approve", "auto"]))
    above = today.rename({"record_id": "at", "parent": "next"})
    climbing = moves.select(*KEY, at=c("desired"), step=pl.lit(0)).drop_nulls("at")
    steps = []
    while climbing.height and len(steps) < 64:
        steps.append(climbing)
        going = climbing.filter(c("at") != c("record_id")).join(above, on=["connection", "at"])
        climbing = going.select(*KEY, at=c("next"), step=c("step") + 1)
    met = pl.concat(steps) if steps else climbing
    caught = met.filter(c("at") == c("record_id")).select(KEY)
    movers = moves.select("connection", c("record_id").alias("at"))
    others = met.join(caught, on=KEY, how="semi").join(movers, on=["connection", "at"], how="semi")
    others = others.filter(c("at") != c("record_id")).sort("step").unique(KEY, keep="first", maintain_order=True)
    return others.select(*KEY, c("at").alias("first"))


def events(rows: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """OWNERSHIP_EVENTS: owner changes that may be written, with the move between systems behind them."""
    writable = table.filter(c("action").is_in(["review", "approve", "auto"])).select("item_id")
    owners = rows.filter(c("field") == "owner").join(writable, on="item_id", how="semi")
    old = pl.when(c("moved")).then(c("old_system")).otherwise(c("system"))
    owners = owners.with_columns(moved=c("old_system").is_not_null()).with_columns(old_system=old)
    old, new = c("old_system"), c("system")
    kind = pl.when(old.is_null() & new.is_not_null()).then(pl.lit("joined_system"))
    kind = kind.when(old.is_not_null() & new.is_null()).then(pl.lit("left_system"))
    kind = kind.when(old != new).then(pl.lit("moved_system")).otherwise(pl.lit("owner_change"))
    return owners.select(
        *(*KEY, "account_id", "account_name", kind.alias("kind"), "old_system", new.alias("new_system")),
        *(c("crm").alias("from_user"), c("desired").alias("to_user"), "item_id"),
    ).sort(KEY)


def guards(rows: pl.DataFrame, table: pl.DataFrame, made: Mapping[str, pl.DataFrame]) -> tuple[Guard, ...]:
    """Every limit, measured."""
    writable = table.filter(c("action").is_in(["review", "approve", "auto"])).select("item_id")
    first, is_owner = c("state").is_in(["fill", "takeover"]), c("field") == "owner"
    order = {name: i for i, name in enumerate(TIER_ORDER)}
    rank = {n: c(n).replace_strict(order, default=None, return_dtype=pl.Int64) for n in ("crm", "desired")}
    worse = ((c("field") == "account_tier") & (rank["desired"] > rank["crm"])).fill_null(value=False)
    clears = (c("desired_kind") == "clear") & (c("group") != "rescore")
    tallies = (
        rows.join(writable, on="item_id", how="semi")
        .group_by("connection", "field", *(pl.when(is_owner).then(c(n)).alias(n) for n in ("crm", "desired")))
        .agg(
            first.sum().cast(pl.Int64).alias("first"),
            (~first).sum().cast(pl.Int64).alias("known"),
            clears.sum().cast(pl.Int64).alias("clears"),
            (worse & ~first).sum().cast(pl.Int64).alias("down"),
        )
    )
    live = made["records"].filter(~c("is_deleted").fill_null(value=False), c("merged_into").is_null())
    people = dict(live.group_by("connection").len().iter_rows())
    books = {(crm, user): n for crm, user, n in live.group_by("connection", "owner").len().iter_rows()}
    return tuple(sorted(one for crm in sorted(people) for one in _measured(crm, tallies, people[crm], books)))


def _measured(
    crm: str, tallies: pl.DataFrame, population: int, books: Mapping[tuple[str, str], int]
) -> Iterator[Guard]:
    def result(guard: str, subject: str, measured: int, of: int) -> Guard:
        allowed = limit(guard, of)
        return guard, subject, measured, of, allowed, measured > allowed

    own = tallies.filter(c("connection") == crm)
    owners = own.filter(c("field") == "owner", c("known") > 0)
    yield result("owner_changes", crm, int(owners["known"].sum()), population)
    yield result("owner_moves", crm, owners.height, population)
    for column, guard in (("crm", "owner_lost_by_rep"), ("desired", "owner_gained_by_rep")):
        for user, count in owners.drop_nulls(column).group_by(column).agg(c("known").sum()).iter_rows():
            yield result(guard, f"{crm}:{user}", count, books.get((crm, user), 0))
            if column == "desired":
                yield result("accounts_to_one_owner", f"{crm}:{user}", count, population)
    for name, known, first in own.group_by("field").agg(c("known").sum(), c("first").sum()).iter_rows():
        if known and name == "parent":
            yield result("parent_changes", crm, known, population)
        elif known and name != "owner":
            yield result("any_field", f"{crm}:{name}", known, population)
        if first:
            yield result("first_contact", f"{crm}:{name}", first, population)
    for column, guard in (("down", "tier_downgrades"), ("clears", "clears")):
        if own[column].sum():
            yield result(guard, crm, int(own[column].sum()), population)


def digest(table: pl.DataFrame, rows: pl.DataFrame) -> str:
    """sha256 over all items and changes in order, every cell behind its length."""
    total = hashlib.sha256()
    for frame, columns in ((table, ITEMS), (rows.sort(*KEY, "field"), CHANGES)):
        head = ",".join(columns)
        total.update(f"{len(head)}:{head}".encode())
        cells = frame.select(c(name).cast(pl.String) for name in columns)
        line = cells.select(pl.concat_str(_prefixed(name) for name in columns).alias("line"))
        whole = line.select(pl.concat_str(c("line").str.len_bytes().cast(pl.String), pl.lit(":"), "line").str.join(""))
        total.update((whole.item() or "").encode())
    return total.hexdigest()
