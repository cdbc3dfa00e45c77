"""A delivery beside the last accepted one: what moved too far is held for a person, what is older is rejected."""

from __future__ import annotations

from connectors.csv_feed.agreement import FeedContract, Limits, folded
from connectors.csv_feed.findings import Findings, quoted
from connectors.csv_feed.sample import Moved
from connectors.csv_feed.survey import Survey
from connectors.csv_feed.tally import DeliveryFacts


def compare(facts: DeliveryFacts, survey: Survey, last: DeliveryFacts | None, contract: FeedContract) -> None:
    """Add what is found to the survey's findings. Without a last delivery only what must hold of any."""
    found, limits = survey.found, contract.limits
    if unknown := survey.unknown():
        found.note("unknown_column", f"{quoted(unknown)} is not in the layout and is not read", "Add it, or ignore it")
    if last is None:
        if missing := survey.missing():
            found.note("absent_column", f"{quoted(missing)} is not delivered", "None needed if that was agreed")
        for name in facts.mismatch_rate:
            _compare_types(name, facts, 0.0, survey)
        return
    if facts.as_of < last.as_of:
        fact = f"its data are as of {facts.as_of}, older than the last accepted delivery ({last.as_of})"
        found.reject("older_than_last", fact, "Nothing to do: newer data are in use")
    elif facts.as_of > last.as_of and facts.sha256 == last.sha256:
        fact = f"byte for byte the delivery of {last.as_of} that is in use, under a new date"
        found.note("same_file", fact, "None needed, unless an old file was sent by mistake")
    _compare_rows(facts, survey, last, contract)
    names = _names(survey, last)
    gone = [before for now, before in names.values() if before and not now]
    if gone:
        found.hold("schema_drift", f"{quoted(gone)} was delivered last time and is missing now", column=gone[0])
    for now, before in names.values():
        if now and before:
            _compare_column(now, before, facts, last, survey)
    for usual_id, usual_name in contract.named_ids:
        _compare_named(names[usual_id], names[usual_name], facts, last, survey)
    for usual, moved in survey.sample.moved(last.cells).items():
        _compare_cells(names[usual][0], moved, found, limits)


def _names(survey: Survey, last: DeliveryFacts) -> dict[str, tuple[str, str]]:
    """Usual header -> the column that carries it now, and the one that did last time; "" = none."""
    before = folded(name for name in last.columns if name in last.blank_rate)
    return {usual: (name, rule.header_in(before)) for usual, (name, rule) in survey.by_usual.items()}


def _compare_rows(facts: DeliveryFacts, survey: Survey, last: DeliveryFacts, contract: FeedContract) -> None:
    found, limits, events = survey.found, contract.limits, contract.rows_are_events
    drop, growth = (limits.events_drop, limits.events_growth) if events else (limits.row_drop, limits.row_growth)
    if facts.rows < last.rows * (1 - drop):
        fact = f"{facts.rows} rows where the last delivery had {last.rows}; limit {drop:.0%} fewer"
        found.hold("row_drop", fact)
    if facts.rows > last.rows * (1 + growth):
        fact = f"{facts.rows} rows where the last delivery had {last.rows}; limit {growth:.0%} more"
        found.hold("row_growth", fact)
    lost = 0.0 if events else 1 - survey.keys.coverage(last.key_sample)
    if lost > limits.keys_lost:
        fact = f"{lost:.0%} of the keys of the last delivery are gone, limit {limits.keys_lost:.0%}"
        found.hold("keys_lost", fact)


def _compare_column(name: str, before: str, facts: DeliveryFacts, last: DeliveryFacts, survey: Survey) -> None:
    """`name` now is the column that was called `before` last time."""
    found, limits = survey.found, survey.limits
    blank, blank_before = facts.blank_rate[name], last.blank_rate[before]
    if blank - blank_before > limits.blank_rise:
        fact = f'"{name}" is blank in {blank:.0%} of the rows, last time {blank_before:.0%}'
        found.hold("blank_column", fact, column=name)
    cleared, cleared_before = facts.cleared_rate.get(name, 0.0), last.cleared_rate.get(before, 0.0)
    if cleared - cleared_before > limits.cleared_rise:
        fact = f'"{name}" is emptied by a word in {cleared:.0%} of the rows, last time {cleared_before:.0%}'
        found.hold("cleared_column", fact, column=name)
    top, top_before = facts.top_share[name], last.top_share.get(before, 0.0)
    is_constant = top_before < 1 - limits.constant and 1 - top < limits.constant * (1 - top_before)
    if blank < 1 and top > limits.top_share and (top > 2 * top_before or is_constant):
        fact = f'"{name}" has one value in {top:.0%} of the rows, last time at most {top_before:.0%}'
        found.hold("one_value", fact, column=name)
    newest, newest_before = facts.newest.get(name, ""), last.newest.get(before, "")
    if newest and newest < newest_before:
        fact = (
            f'the newest "{name}" is {newest}, last time it was {newest_before}: perhaps an old file under a new date'
        )
        found.hold("older_content", fact, column=name)
    _compare_types(name, facts, last.mismatch_rate.get(before, 0.0), survey)


def _compare_named(
    id_: tuple[str, str], name: tuple[str, str], facts: DeliveryFacts, last: DeliveryFacts, survey: Survey
) -> None:
    """Ids without the name of what they stand for: perhaps filled down into rows that had none."""
    if not all((*id_, *name)):
        return
    bare = facts.blank_rate[name[0]] - facts.blank_rate[id_[0]]
    before = last.blank_rate[name[1]] - last.blank_rate[id_[1]]
    if bare - before > survey.limits.blank_rise:
        fact = f'"{id_[0]}" stands without "{name[0]}" in {bare:.0%} of the rows, last time {max(before, 0):.0%}'
        survey.found.hold("ids_without_names", f"{fact}; perhaps it was filled down", column=id_[0])


def _compare_types(name: str, facts: DeliveryFacts, before: float, survey: Survey) -> None:
    wrong, limits = facts.mismatch_rate[name], survey.limits
    if wrong - before > limits.mismatch_rise and survey.tallies[name].mismatched > limits.few:
        fact = f'{wrong:.0%} of the cells of "{name}" are of another type, last time {before:.0%}'
        survey.found.hold("type_drift", fact, column=name)


def _compare_cells(name: str, moved: Moved, found: Findings, limits: Limits) -> None:
    """What the same rows say now and said last time."""
    if moved.rows < limits.compared:
        return
    low, high = limits.ratio
    if moved.ratio is None and moved.changed > limits.changed:
        fact = (
            f'"{name}" says something else than last time in {moved.changed:.0%} of {moved.rows} compared rows, '
            f"limit {limits.changed:.0%}; perhaps columns or ids were mixed up"
        )
        found.hold("values_changed", fact, column=name)
    if moved.ratio is not None and not low <= moved.ratio <= high:
        fact = (
            f'"{name}" is {moved.ratio:.2g} times what it was last time, in the median of {moved.rows} compared rows; '
            f"expected {low:g} to {high:g}. Perhaps the unit changed"
        )
        found.hold("scale_drift", fact, column=name)
