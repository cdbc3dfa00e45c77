"""Who decides, for every account and question at once.

1. A record reaches its own organisation and, where it delegates, everything below it.
2. Of the records that fit a question the most specific wins: line, category and function before line and function,
   before line, before function, before all. Then the nearer organisation, the better source, the newer record.
3. A record that is over is never used; the best of them is shown beside the answer.
4. Above its spend limit the system decides. Without a record the archetype of the organisation does.
"""

from __future__ import annotations

from collections.abc import Sequence

import narwhals as nw

from mappings.structure_policy import AuthorityNeed, AuthorityPolicy
from sync.engine import Engine, Frame
from sync.frames import cases, certain, conform, first_by, stack, text
from sync.world import INT, TEXT, Schema

NEEDS: Schema = {"need": INT, "function": TEXT, "service_line": TEXT, "category": TEXT, "amount_cents": INT}
"""Questions; with a column `account_id` each is asked of one account, without it of all."""

ANSWERS: Schema = {
    "account_id": TEXT,
    "need": INT,
    "holder_account_id": TEXT,
    "level": TEXT,
    "basis": TEXT,  # EXPLICIT = recorded at the organisation, DELEGATED = above it, DEFAULT = its archetype's
    "confidence_bp": INT,  # null for a default: nobody said so
    "distance": INT,  # steps up to the organisation with the record
    "spend_limit_cents": INT,
    "valid_to": TEXT,
    "source_ref": TEXT,
    "expired_ref": TEXT,  # the record that would have answered, had it not ended
    "expired_on": TEXT,
}
"""One row per account and question."""

EXPLICIT, DELEGATED, DEFAULT = "EXPLICIT", "DELEGATED", "DEFAULT"
SYSTEM_LEVELS = ("SYSTEM", "MSO", "PLATFORM", "GPO")
_ORDER = ("specificity", "distance", "trust", "valid_from", "confidence_bp", "ref")
SPECIFICITY: tuple[tuple[bool, bool, bool], ...] = (
    # line, category, function
    (True, True, True),
    (True, False, True),
    (True, True, False),
    (True, False, False),
    (False, True, True),
    (False, False, True),
    (False, True, False),
    (False, False, False),
)


def needs_of(policy: AuthorityPolicy, target_line: str, target_category: str) -> list[AuthorityNeed]:
    """The policy's questions, with the target line and category filled in."""
    target = {"service_line": target_line, "category": target_category}
    return [
        need.model_copy(update={name: word for name, word in target.items() if getattr(need, name) == "TARGET"})
        for need in policy.needs
    ]


def needs_table(needs: Sequence[AuthorityNeed], engine: Engine) -> Frame:
    """NEEDS from the policy's questions, numbered from 0."""
    rows = [{"need": place, **need.model_dump()} for place, need in enumerate(needs)]
    return engine.table(rows, NEEDS)


def recorded(records: Frame, hierarchy: Frame, needs: Frame, engine: Engine) -> Frame:
    """ANSWERS that rest on records; accounts and questions without one have no row."""
    if not engine.count(records.head(1)):
        return engine.table([], ANSWERS)
    reach = engine.materialize(_reach(records, hierarchy, engine))
    fitting = engine.materialize(_fitting(reach, records, needs))
    keys = ["account_id", "need"]
    best = first_by(fitting.filter(nw.col("in_force")), keys, _ORDER, descending=["valid_from", "confidence_bp"])
    over = first_by(
        fitting.filter(nw.col("is_expired")),
        keys,
        ["specificity", "distance", "valid_to", "ref"],
        descending=["valid_to"],
    ).select(*keys, nw.col("ref").alias("expired_ref"), nw.col("valid_to").alias("expired_on"))
    systems = hierarchy.select("account_id", "system_account_id")
    answered = best.join(systems, on="account_id", how="inner").with_columns(_is_over_limit().alias("over_limit"))
    held = answered.with_columns(
        holder_account_id=_holder(),
        level=nw.when(nw.col("over_limit")).then(nw.lit("SYSTEM")).otherwise(nw.col("level")),
        basis=cases([(nw.col("distance") == 0, EXPLICIT)], DELEGATED),
        source_ref=nw.col("ref"),
    )
    only_over = over.join(best.select(*keys), on=keys, how="anti")
    return engine.materialize(
        stack([conform(held.join(over, on=keys, how="left"), ANSWERS), conform(only_over, ANSWERS)])
    )


def answers(recorded: Frame, archetypes: Frame, needs: Frame, policy: AuthorityPolicy) -> Frame:
    """ANSWERS for every account and question; `archetypes` has account_id, system_account_id, archetype."""
    asked = archetypes.join(needs.drop("amount_cents"), how="cross")
    found = asked.join(recorded, on=["account_id", "need"], how="left")
    unsaid = nw.col("basis").is_null()
    level = nw.when(unsaid).then(_default_level(policy)).otherwise(nw.col("level"))
    own = nw.when(level == "SITE").then(nw.col("account_id")).otherwise(nw.col("system_account_id"))
    return conform(
        found.with_columns(
            holder_account_id=nw.coalesce(nw.col("holder_account_id"), own),
            level=level,
            basis=nw.coalesce("basis", nw.lit(DEFAULT)),
        ),
        ANSWERS,
    )


def _reach(records: Frame, hierarchy: Frame, engine: Engine) -> Frame:
    """`account_id`, `org`, `distance`: every organisation with a record, and all below one that delegates."""
    known = hierarchy.select("account_id")
    orgs = records.select(nw.col("org").alias("account_id")).unique().join(known, on="account_id", how="semi")
    start = orgs.select("account_id", nw.col("account_id").alias("org"), nw.lit(0).cast(INT).alias("distance"))
    levels = [engine.materialize(start)]
    down = records.filter(nw.col("delegates")).select("org").unique()
    frontier = engine.materialize(levels[0].join(down, on="org", how="semi"))
    tree = hierarchy.filter(~nw.col("parent_account_id").is_null()).select("account_id", "parent_account_id")
    while engine.count(frontier.head(1)):
        above = frontier.rename({"account_id": "parent_account_id"})
        below = tree.join(above, on="parent_account_id", how="inner")
        frontier = engine.materialize(below.select("account_id", "org", (nw.col("distance") + 1).alias("distance")))
        levels.append(frontier)
    return stack(levels)


def _fitting(reach: Frame, records: Frame, needs: Frame) -> Frame:
    """Records beside the questions they fit, with their `specificity`, 0 = most."""
    asked = {name: f"asked_{name}" for name in ("function", "service_line", "category")}
    questions = needs.rename(asked)
    reached = reach.join(records, on="org", how="inner").filter((nw.col("distance") == 0) | nw.col("delegates"))
    if "account_id" in questions.collect_schema().names():
        pairs = reached.join(questions, on="account_id", how="inner")
    else:
        pairs = reached.join(questions, how="cross")
    exact = {
        name: certain(nw.col(name) == nw.col(question)) & (nw.col(name) != "ALL") for name, question in asked.items()
    }
    fits = [exact[name] | (nw.col(name) == "ALL") for name in asked]
    fit = pairs.filter(fits[0] & fits[1] & fits[2])
    ranks = []
    for place, (line, category, function) in enumerate(SPECIFICITY):
        wanted = (exact["service_line"] == line) & (exact["category"] == category) & (exact["function"] == function)
        ranks.append((wanted, place))
    return fit.with_columns(specificity=cases(ranks, len(SPECIFICITY)).cast(INT))


def _is_over_limit() -> nw.Expr:
    return certain(nw.col("amount_cents") > nw.col("spend_limit_cents"))


def _holder() -> nw.Expr:
    """The account that decides: the one the record names, else by its level. A region is where its record is."""
    by_level = cases(
        [(nw.col("level") == "SITE", nw.col("account_id")), (nw.col("level") == "REGION", nw.col("org"))],
        nw.col("system_account_id"),
    )
    named = nw.coalesce(nw.col("holder"), by_level)
    return nw.when(nw.col("over_limit")).then(nw.col("system_account_id")).otherwise(named)


def _default_level(policy: AuthorityPolicy) -> nw.Expr:
    """The level of the first default that fits the archetype and the function, else the system's."""
    general: dict[str, str] = {}
    special: dict[str, str] = {}
    for line in policy.defaults:
        if line.archetype in general:
            continue  # one for all functions came before it
        if line.function == "ALL":
            general[line.archetype] = line.level
        else:
            special.setdefault(f"{line.archetype}|{line.function}", line.level)
    asked = text(nw.col("archetype"), "|", nw.col("function"))
    levels = [
        key.replace_strict(list(given), list(given.values()), default=None, return_dtype=TEXT)
        for key, given in ((asked, special), (nw.col("archetype"), general))
        if given
    ]
    return nw.coalesce(*levels, nw.lit("SYSTEM"))


def defaults_to_system(policy: AuthorityPolicy, function: str) -> bool:
    """True where the default for a function is the system's in every archetype of more than one organisation.

    Then nobody needs to know the archetype: the holder is the system, which is the organisation itself where it stands
    alone.
    """
    decided: dict[str, str] = {}
    for line in policy.defaults:
        if line.function in ("ALL", function):
            decided.setdefault(line.archetype, line.level)
    decided.pop("INDEPENDENT", None)
    return all(level in SYSTEM_LEVELS for level in decided.values())
