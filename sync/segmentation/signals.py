"""What organisations and people did: engagement that fades, intent, contacts, and the deals so far.

Everything is counted for the deciding organisation, over all its members, each person once.
"""

from __future__ import annotations

from datetime import date, timedelta

import narwhals as nw

from mappings.insight_policy import Behavior
from sync.engine import Engine, Frame
from sync.frames import cases, certain, count_where, null, one_of, row_number, stack, text
from sync.segmentation.scores import decay_micro
from sync.world import BOOL, INT, SIGNALS, TEXT, Schema, World

INTENT = "intent"
INTENT_DAYS = 90
CONTACT_DAYS = 365

BEHAVIOR: Schema = {
    "holder_account_id": TEXT,
    "engagement": INT,  # hundredths of a point, decayed and capped; 0 where others have signals and it has none
    "intent": INT,  # strongest topic of the last 90 days, 0 to 100
    "high_intent": BOOL,
    "intent_path": TEXT,  # SALES with high intent, NURTURE where only lighter signals are recent
    "topics": TEXT,  # up to three of the last 90 days, strongest first
    "contacts": INT,  # people in touch within a year
    "champion": TEXT,
    "opted_out": BOOL,
    "titles": TEXT,  # job titles, lower case, separated by " | "
}

DEALS: Schema = {"holder_account_id": TEXT, "won_cents": INT, "open_cents": INT, "history": TEXT}


def behavior(world: World, linked: Frame, policy: Behavior, as_of: str, engine: Engine) -> Frame:
    """BEHAVIOR of every holder; `linked` leads from source, source_id, domain to account and holder."""
    holders = linked.select("holder_account_id").unique()
    signals = engine.materialize(_signals(world, linked, engine))
    ages = engine.table(_ages(policy, as_of), {"occurred_on": TEXT, "age": INT, "factor": INT})
    dated = engine.materialize(signals.join(ages, on="occurred_on", how="inner"))
    has = next(iter(engine.rows(signals.select(
        count_where(nw.col("kind") == INTENT).alias("intent"), count_where(nw.col("kind") != INTENT).alias("own")
    ))), {})  # fmt: skip
    table = holders.join(_engagement(dated, policy, engine), on="holder_account_id", how="left")
    table = table.join(_intent(dated), on="holder_account_id", how="left")
    table = table.join(_topics(dated, engine), on="holder_account_id", how="left")
    table = table.join(_contacts(world, linked, as_of, engine), on="holder_account_id", how="left")
    nothing = nw.lit(0)
    return engine.materialize(table.select(
        "holder_account_id",
        (nw.coalesce("engagement", nothing) if has.get("own") else null(INT)).alias("engagement"),
        (nw.coalesce("intent", nothing) if has.get("intent") else null(INT)).alias("intent"),
        (certain(nw.col("high_intent")) if has.get("own") else null(BOOL)).alias("high_intent"),
        cases([(nw.col("high_intent"), "SALES"), (nw.col("nurtured") > 0, "NURTURE")], null(TEXT)).alias("intent_path"),
        "topics",
        "contacts", "champion", "opted_out", "titles",
    ))  # fmt: skip


def _ages(policy: Behavior, as_of: str) -> list[dict[str, object]]:
    """Every day that still counts, with its age and what is left of a signal of that day, in millionths."""
    today = date.fromisoformat(as_of)
    return [
        {
            "occurred_on": (today - timedelta(days=age)).isoformat(),
            "age": age,
            "factor": decay_micro(age, policy.half_life_days),
        }
        for age in range(policy.max_age_days + 1)
    ]


def _signals(world: World, linked: Frame, engine: Engine) -> Frame:
    """Signals with their holder. A person counts once per kind and day, however many sites and feeds show it."""
    signals = world.signals if world.signals is not None else engine.table([], SIGNALS)
    wanted = signals.select("firm_id", "record_id", "domain", "kind", "topic", "strength", "person", "occurred_on")
    keyed = linked.select("source_id", "holder_account_id").unique()
    firms, records = keyed.rename({"source_id": "firm_id"}), keyed.rename({"source_id": "record_id"})
    domains = _lone_domains(linked)
    by_firm = wanted.join(firms, on="firm_id", how="inner")
    by_record = wanted.filter(nw.col("firm_id").is_null()).join(records, on="record_id", how="inner")
    rest = wanted.filter(nw.col("firm_id").is_null(), nw.col("record_id").is_null())
    by_domain = rest.join(domains, on="domain", how="inner")
    columns = ("holder_account_id", "kind", "topic", "strength", "person", "occurred_on")
    found = stack([part.select(*columns) for part in (by_firm, by_record, by_domain)])
    who = nw.coalesce("person", text("topic:", nw.coalesce("topic", nw.lit(""))))
    return (
        found.with_columns(who=who)
        .group_by("holder_account_id", "kind", "who", "occurred_on")
        .agg(nw.col("strength").max().cast(INT), nw.col("topic").min())
    )


def _lone_domains(linked: Frame) -> Frame:
    """`domain`, `holder_account_id` of domains that lead to one holder only: a shared one is never guessed."""
    pairs = linked.filter(~nw.col("domain").is_null()).select("domain", "holder_account_id").unique()
    return pairs.with_columns(n=nw.len().over("domain")).filter(nw.col("n") == 1).drop("n")


def _engagement(dated: Frame, policy: Behavior, engine: Engine) -> Frame:
    """Points per kind, decayed and capped, added up; and whether strong ones came close together."""
    rows = [
        {"kind": kind, "points": points, "cap": policy.caps.get(kind, 0) * 1_000_000}
        for kind, points in sorted(policy.points.items())
    ]
    kinds = engine.table(rows, {"kind": TEXT, "points": INT, "cap": INT})
    worth = dated.join(kinds, on="kind", how="inner").with_columns(micro=nw.col("points") * nw.col("factor"))
    recent, lesser = nw.col("age") < policy.high_intent_days, one_of(nw.col("kind"), policy.nurture_kinds)
    strong = recent & (nw.col("points") >= policy.high_intent_points) & ~lesser
    light = recent & lesser
    per_kind = worth.group_by("holder_account_id", "kind", "cap").agg(
        nw.col("micro").sum().cast(INT), count_where(strong).alias("strong"), count_where(light).alias("light")
    )
    capped = nw.when((nw.col("cap") > 0) & (nw.col("micro") > nw.col("cap"))).then(nw.col("cap"))
    held = per_kind.with_columns(micro=capped.otherwise(nw.col("micro")))
    sums = [nw.col(name).sum().cast(INT) for name in ("micro", "strong", "light")]
    summed = held.group_by("holder_account_id").agg(*sums)
    return summed.select(
        "holder_account_id",
        ((nw.col("micro") + 5_000) // 10_000).alias("engagement"),
        (nw.col("strong") >= policy.high_intent_signals).alias("high_intent"),
        nw.col("light").alias("nurtured"),
    )


def _intent(dated: Frame) -> Frame:
    recent = dated.filter(nw.col("kind") == INTENT, nw.col("age") < INTENT_DAYS)
    return recent.group_by("holder_account_id").agg(nw.col("strength").max().cast(INT).alias("intent"))


def _topics(dated: Frame, engine: Engine) -> Frame:
    """`holder_account_id`, `topics`: what was read and asked for of late, strongest first."""
    named = dated.filter(~nw.col("topic").is_null(), nw.col("age") < INTENT_DAYS)
    best = named.group_by("holder_account_id", "topic").agg(nw.coalesce("strength", nw.lit(0)).max().alias("strength"))
    weakest = best.with_columns(behind=-nw.col("strength"))
    ranked = engine.materialize(row_number(weakest, "place", ["behind", "topic"], per=["holder_account_id"]))
    table = ranked.filter(nw.col("place") == 1).select("holder_account_id", nw.col("topic").alias("topic_1"))
    for place in (2, 3):
        more = ranked.filter(nw.col("place") == place)
        table = table.join(
            more.select("holder_account_id", nw.col("topic").alias(f"topic_{place}")),
            on="holder_account_id",
            how="left",
        )
    further = [nw.when(~nw.col(f"topic_{n}").is_null()).then(text(", ", nw.col(f"topic_{n}"))) for n in (2, 3)]
    return table.select("holder_account_id", text(nw.col("topic_1"), *further).alias("topics"))


def _contacts(world: World, linked: Frame, as_of: str, engine: Engine) -> Frame:
    """People in touch, whether one champions us, and the titles that are there."""
    names = ("holder_account_id", "contacts", "champion", "opted_out", "titles")
    schema: Schema = {name: BEHAVIOR[name] for name in names}
    if world.contacts is None:
        return engine.table([], schema)
    since = (date.fromisoformat(as_of) - timedelta(days=CONTACT_DAYS)).isoformat()
    keyed = linked.select(nw.col("source_id").alias("record_id"), "holder_account_id").unique()
    people = world.contacts.join(keyed, on="record_id", how="inner")
    in_touch = certain(nw.col("last_touch_on") >= since)
    once = people.group_by("holder_account_id", "person").agg(
        count_where(in_touch).alias("touches"),
        count_where(nw.col("is_champion")).alias("champions"),
        count_where(~nw.col("is_champion").is_null()).alias("asked"),
        count_where(nw.col("opted_out")).alias("outs"),
        nw.len().cast(INT).alias("rows"),
    )
    counted = once.group_by("holder_account_id").agg(
        count_where(nw.col("touches") > 0).alias("contacts"),
        nw.col("champions").sum().cast(INT).alias("champions"),
        count_where(nw.col("asked") == 0).alias("unasked"),
        count_where(nw.col("outs") == 0).alias("reachable"),
    )
    titles = engine.table(_titles(people, engine), {"holder_account_id": TEXT, "titles": TEXT})
    return counted.join(titles, on="holder_account_id", how="left").select(
        "holder_account_id",
        "contacts",
        cases([(nw.col("champions") > 0, "true"), (nw.col("unasked") == 0, "false")], null(TEXT)).alias("champion"),
        (nw.col("reachable") == 0).alias("opted_out"),
        "titles",
    )


def _titles(people: Frame, engine: Engine) -> list[dict[str, str]]:
    """Titles per holder as one text; there are few people beside the accounts."""
    found: dict[str, set[str]] = {}
    for row in engine.rows(people.filter(~nw.col("title").is_null()).select("holder_account_id", "title").unique()):
        found.setdefault(row["holder_account_id"], set()).add(row["title"].lower())
    return [{"holder_account_id": key, "titles": " | ".join(sorted(titles))} for key, titles in sorted(found.items())]


def deals(world: World, linked: Frame, engine: Engine) -> Frame:
    """`holder_account_id`, `won_cents`, `open_cents` and `history`; no rows where no deal is known at all."""
    if not engine.count(world.opportunities):
        return engine.table([], DEALS)
    keyed = linked.select(
        nw.col("source").alias("connection"), nw.col("source_id").alias("record_id"), "holder_account_id"
    ).unique()
    joined = world.opportunities.join(keyed, on=["connection", "record_id"], how="inner")
    won, closed = certain(nw.col("is_won")), certain(nw.col("is_closed"))
    amount = nw.coalesce("amount_cents", nw.lit(0))
    summed = joined.group_by("holder_account_id").agg(
        nw.when(won).then(amount).sum().cast(INT).alias("won_cents"),
        nw.when(~closed).then(amount).sum().cast(INT).alias("open_cents"),
        count_where(won).alias("won"),
        count_where(~closed).alias("open"),
    )
    everyone = linked.select("holder_account_id").unique().join(summed, on="holder_account_id", how="left")
    history = cases(
        [(nw.col("won") > 0, "CUSTOMER"), (nw.col("open") > 0, "OPEN"), (~nw.col("won").is_null(), "LOST")], "NONE"
    )
    nothing = nw.lit(0)
    return everyone.select(
        "holder_account_id",
        nw.coalesce("won_cents", nothing).alias("won_cents"),
        nw.coalesce("open_cents", nothing).alias("open_cents"),
        history.alias("history"),
    )
