"""What the events ask of each account, in words: the re-score flag's reason, with the rule and the source."""

from __future__ import annotations

import narwhals as nw

from mappings.structure_policy import TriggerPolicy
from sync.engine import Engine, Frame
from sync.frames import cases, conform, row_number, text
from sync.triggers.events import of_kind
from sync.world import INT, TEXT, Schema

FLAGS: Schema = {"account_id": TEXT, "reason": TEXT, "rule": TEXT, "source_ref": TEXT, "events": INT}
"""One row per account that is to be scored again; the first events by deadline in words, the others counted."""

_SHOWN = 3


def flags(events: Frame, affected: Frame, policy: TriggerPolicy, engine: Engine) -> Frame:
    """FLAGS of the accounts whose relation to an event asks for it by the policy."""
    asked = [{"kind": kind, "relation": one} for kind, rule in policy.rules.items() for one in rule.flags]
    if not asked:
        return engine.table([], FLAGS)
    asks = engine.table(asked, {"kind": TEXT, "relation": TEXT})
    rows = affected.join(events, on="event_id", how="inner", suffix="_of_event").join(
        asks, on=["kind", "relation"], how="semi"
    )
    worded = rows.select(
        "account_id",
        "event_id",
        _words().alias("words"),
        nw.coalesce("due_on", nw.lit("")).alias("due"),
        text("triggers.", nw.col("kind").str.to_lowercase()).alias("rule"),
        "source_ref",
    )
    numbered = engine.materialize(row_number(worded, "place", ["due", "words", "event_id"], per=["account_id"]))
    table = numbered.filter(nw.col("place") == 1).select("account_id", "words", "rule", "source_ref")
    for place in range(2, _SHOWN + 1):
        more = numbered.filter(nw.col("place") == place).select("account_id", nw.col("words").alias(f"words_{place}"))
        table = table.join(more, on="account_id", how="left")
    counts = numbered.group_by("account_id").agg(nw.len().cast(INT).alias("events"))
    whole = table.join(counts, on="account_id", how="left")
    rest = nw.col("events") - _SHOWN
    parts = [_further(f"words_{place}") for place in range(2, _SHOWN + 1)]
    more_words = nw.when(rest > 0).then(text("; and ", rest.cast(TEXT), " more"))
    reason = text(nw.col("words"), *parts, more_words)
    return engine.materialize(conform(whole.with_columns(reason=reason), FLAGS))


def _further(name: str) -> nw.Expr:
    return nw.when(~nw.col(name).is_null()).then(text("; ", nw.col(name)))


def _words() -> nw.Expr:
    """One event for people: what happened, from what to what, and when."""
    old, new, detail = nw.col("old"), nw.col("new"), nw.col("detail")
    leads = {
        "joined_system": "Joined ",
        "flapping": "Back to ",
        "reparented": "Another parent within ",
        "operator_change": "Another operator within ",
    }
    lead = detail.replace_strict(list(leads), list(leads.values()), default=None, return_dtype=TEXT)
    what = cases(
        [
            (detail == "left_system", text("Left ", old)),
            (detail == "moved_system", text("Moved from ", old, " to ", new)),
            (detail.is_in(list(leads)), text(lead, new)),
            (old.is_null(), new),
            (new.is_null(), text(old, " ended")),
        ],
        text(old, " to ", new),
    )
    titles = {
        "OWNERSHIP_CHANGE": "Ownership change",
        "SERVICE_LINE_CHANGE": "Service line",
        "PAYER_CONTRACT": "Payer or contract",
        "TECH_CHANGE": "Health record system",
        "REGULATORY": "Regulation",
        "CLOSURE": "Closure",
        "SUCCESSION": "Succession",
        "REP_CHANGE": "Owner",
    }
    title = of_kind(titles, "Change")
    here = nw.when(nw.col("relation") == "descendant").then(nw.lit(" (of an organisation above)"))
    dated = nw.when(~nw.col("effective_date").is_null()).then(text(" (as of ", nw.col("effective_date"), ")"))
    return text(title, ": ", what, here, dated)
