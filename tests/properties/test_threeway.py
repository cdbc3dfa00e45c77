"""The decision table against an independent, row-wise reading of it, and the promises under the table."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import narwhals as nw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.engines import PolarsEngine
from sync.planning.threeway import COLUMNS, INPUTS, KINDS, KNOB_COLUMNS, KNOB_NAMES, Action, State, classify, is_open

ENGINE = PolarsEngine()
FLAGS = {"held", "writable", "override", "lapsed"}
SCHEMA = {name: nw.Boolean() if name in FLAGS else nw.String() for name in (*INPUTS, *KNOB_NAMES)}
WRITES = {Action.AUTO, Action.APPROVE}


@dataclass(frozen=True)
class Case:
    """One field of one record, as a person would write it down."""

    base_kind: str | None = "nobase"
    base: str | None = None
    crm_kind: str | None = "empty"
    crm: str | None = None
    desired_kind: str | None = "abstain"
    desired: str | None = None
    held: bool = False
    writable: bool = True
    override: bool = False
    kept: str | None = None
    refused: str | None = None
    lapsed: bool = False
    on_fill: str = "auto"
    on_update: str = "approve"
    on_drift: str = "review"
    on_conflict: str = "review"
    on_takeover: str = "review"
    clear: str = "forbid"


# --- the reference: the table of the design, line by line, on one row -------------------------------------------------


def reference(case: Case) -> tuple[str, str]:
    """(state, action) of one case, read straight from the seventeen rows."""
    state = reference_state(case)
    return state, reference_action(case, state)


def reference_state(case: Case) -> str:
    x = case.crm if case.crm_kind == "value" and case.crm else None
    b = case.base if case.base_kind == "value" and case.base else None
    d = case.desired if case.desired_kind == "value" and case.desired else None
    opinion = case.desired_kind == "clear" or d is not None
    agreed_once = case.base_kind in ("value", "empty")
    at_base = agreed_once and x == b
    someone_kept_x = case.override and (case.kept or None) == x
    if case.crm_kind == "gone":
        return "orphan"  # row 1
    if case.crm_kind not in ("value", "empty"):
        return "unreadable"  # row 2
    if not opinion:
        return "unmanaged" if not agreed_once or at_base else "released"  # rows 3, 4
    if x == d:
        if not agreed_once:
            return "baseline"  # row 5
        return "noop" if at_base else "converged"  # rows 6, 7
    if case.held:
        return "held"  # row 8
    if not case.writable:
        return "invalid"  # row 9
    if someone_kept_x and (case.refused or None) == d and not case.lapsed:
        return "overridden"  # row 10
    if case.desired_kind == "clear" and at_base and not someone_kept_x:
        return "clear"  # row 11
    if not agreed_once:
        return "fill" if x is None and case.base_kind != "released" else "takeover"  # rows 12, 13
    if at_base:
        return "override_lapsed" if someone_kept_x else "update"  # rows 14, 15
    return "drift" if d == b else "conflict"  # rows 16, 17


def reference_action(case: Case, state: str) -> str:
    by_state = {
        "orphan": "blocked",
        "unreadable": "blocked",
        "unmanaged": "none",
        "released": "agree",
        "baseline": "agree",
        "noop": "none",
        "converged": "agree",
        "held": "held",
        "invalid": "blocked",
        "overridden": "overridden",
        "clear": {"forbid": "blocked", "review": "review", "auto": "auto"}[case.clear],
        "fill": {"auto": "auto", "review": "review", "never": "none"}[case.on_fill],
        "takeover": {"review": "review", "ours": "auto", "adopt": "agree"}[case.on_takeover],
        "override_lapsed": "review",
        "update": case.on_update,
        "drift": {"review": "review", "adopt": "agree", "enforce": "auto"}[case.on_drift],
        "conflict": {"review": "review", "ours": "auto", "theirs": "agree"}[case.on_conflict],
    }
    action = by_state[state]
    if case.desired_kind == "clear" and state in ("takeover", "drift", "conflict") and action != "agree":
        strictness = ["auto", "review", "blocked"]
        ceiling = {"auto": "auto", "review": "review", "forbid": "blocked"}[case.clear]
        return max(action, ceiling, key=strictness.index)
    return action


# --- running the columns ----------------------------------------------------------------------------------------------


def run(cases: list[Case]) -> list[tuple[str, str]]:
    table = ENGINE.table([vars(case) for case in cases], SCHEMA)
    return [(row["state"], row["action"]) for row in ENGINE.rows(classify(table, KNOB_COLUMNS))]


VALUES = (None, "", "u", "v", "w")
CASES = st.builds(
    Case,
    base_kind=st.sampled_from(["value", "empty", "nobase", "released", None]),
    base=st.sampled_from(VALUES),
    crm_kind=st.sampled_from(["value", "empty", "gone", "hidden", None]),
    crm=st.sampled_from(VALUES),
    desired_kind=st.sampled_from(["value", "clear", "abstain", None]),
    desired=st.sampled_from(VALUES),
    held=st.booleans(),
    writable=st.booleans(),
    override=st.booleans(),
    kept=st.sampled_from(VALUES),
    refused=st.sampled_from(VALUES),
    lapsed=st.booleans(),
    on_fill=st.sampled_from(["auto", "review", "never"]),
    on_update=st.sampled_from(["auto", "approve", "review"]),
    on_drift=st.sampled_from(["review", "adopt", "enforce"]),
    on_conflict=st.sampled_from(["review", "ours", "theirs"]),
    on_takeover=st.sampled_from(["review", "ours", "adopt"]),
    clear=st.sampled_from(["forbid", "review", "auto"]),
)
LIVELY = st.builds(  # mostly readable records with opinions: where the deep rows are
    replace,
    CASES,
    crm_kind=st.just("value"),
    crm=st.sampled_from("uvw"),
    desired_kind=st.sampled_from(["value", "clear"]),
    desired=st.sampled_from("uvw"),
    held=st.just(False),
    writable=st.just(True),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(CASES | LIVELY, min_size=1, max_size=40))
def test_the_columns_and_the_reference_agree_on_any_rows(cases: list[Case]) -> None:
    assert run(cases) == [reference(case) for case in cases]


def every_case() -> list[Case]:
    """The whole product of kinds, a few values, flags and overrides, at two corners of the policy."""
    base = [("nobase", None), ("released", "u"), ("empty", None), ("value", "u"), ("value", "v"), (None, None)]
    crm = [("gone", None), ("hidden", None), ("empty", None), ("value", "u"), ("value", "v"), (None, None)]
    desired = [("abstain", None), ("clear", None), ("value", "u"), ("value", "v"), ("value", "w"), ("value", None)]
    overrides = [(False, None, None), (True, None, "v"), (True, "u", "v"), (True, "u", None), (True, "v", "w")]
    flags = list(itertools.product([False, True], repeat=3))
    knobs = [
        {},
        {
            "on_fill": "never",
            "on_update": "auto",
            "on_drift": "enforce",
            "on_conflict": "ours",
            "on_takeover": "ours",
            "clear": "auto",
        },
        {"on_drift": "adopt", "on_conflict": "theirs", "on_takeover": "adopt", "clear": "review"},
        {"on_drift": "enforce", "on_conflict": "ours", "on_takeover": "ours", "clear": "review"},
    ]
    return [
        Case(*b, *x, *d, held=held, writable=writable, override=o[0], kept=o[1], refused=o[2], lapsed=lapsed, **k)
        for b, x, d, o, (held, writable, lapsed), k in itertools.product(base, crm, desired, overrides, flags, knobs)
    ]


@pytest.fixture(scope="module")
def sweep() -> list[tuple[Case, str, str]]:
    cases = every_case()
    return [(case, *told) for case, told in zip(cases, run(cases), strict=True)]


def test_the_whole_product_of_kinds_is_decided_as_the_reference_decides_it(
    sweep: list[tuple[Case, str, str]],
) -> None:
    wrong = [(case, told, reference(case)) for case, *told in sweep if tuple(told) != reference(case)]
    assert wrong == []


def test_every_state_and_every_action_is_reached_and_nothing_else(sweep: list[tuple[Case, str, str]]) -> None:
    assert {state for _, state, _ in sweep} == {str(state) for state in State}
    assert {action for _, _, action in sweep} == {str(action) for action in Action}


def test_nothing_is_written_when_equal_abstaining_held_hidden_gone_or_invalid(
    sweep: list[tuple[Case, str, str]],
) -> None:
    for case, state, action in sweep:
        opinion = case.desired_kind == "clear" or (case.desired_kind == "value" and case.desired)
        equal = opinion and (case.crm or None) == (case.desired or None)
        quiet = not opinion or equal or case.held or not case.writable or case.crm_kind in ("gone", "hidden", None)
        if quiet:
            assert action not in WRITES | {Action.REVIEW}, (case, state, action)


def test_a_moved_crm_value_is_only_overwritten_where_the_policy_says_so(sweep: list[tuple[Case, str, str]]) -> None:
    for case, state, action in sweep:
        moved = not (case.base_kind in ("value", "empty") and (case.base or None) == (case.crm or None))
        untouched_empty = case.base_kind in ("nobase", None) and case.crm_kind == "empty"
        if action in WRITES and moved and not untouched_empty:
            allowed = {"takeover": case.on_takeover, "drift": case.on_drift, "conflict": case.on_conflict}[state]
            assert allowed in ("ours", "enforce"), (case, state, action)


def test_unknown_is_never_clear(sweep: list[tuple[Case, str, str]]) -> None:
    for case, state, _ in sweep:
        if case.desired_kind == "value" and not case.desired:
            assert state in ("orphan", "unreadable", "unmanaged", "released")
        if case.crm_kind is None:
            assert state == "unreadable"


def test_a_changed_proposal_after_an_override_always_asks(sweep: list[tuple[Case, str, str]]) -> None:
    for case, state, action in sweep:
        kept_value_stands = case.override and (case.kept or None) == (case.crm or None) and case.crm_kind == "value"
        agreed = case.base_kind == "value" and case.base == case.crm  # what "keep" leaves behind
        if kept_value_stands and agreed and state not in ("unmanaged", "noop", "held", "invalid", "overridden"):
            assert action == Action.REVIEW, (case, state, action)


def completed(case: Case, state: str, action: str, verdict: str) -> Case:
    """The world after the action was carried out; reviews are answered with the verdict."""
    write = action in WRITES or (action == Action.REVIEW and verdict == "take_ours")
    keep = (action == Action.AGREE and state in ("takeover", "drift", "conflict")) or (
        action == Action.REVIEW and verdict == "keep_crm"
    )
    if write:
        kind = "value" if case.desired_kind == "value" else "empty"
        value = case.desired if kind == "value" else None
        return replace(case, base_kind=kind, base=value, crm_kind=kind, crm=value)
    if state == "released":
        return replace(case, base_kind="released", base=None)
    agreed = replace(case, base_kind=case.crm_kind, base=case.crm)
    if keep:
        refused = case.desired if case.desired_kind == "value" else None
        return replace(agreed, override=True, kept=case.crm, refused=refused, lapsed=False)
    return agreed if action == Action.AGREE else case


@pytest.mark.parametrize("verdict", ["take_ours", "keep_crm"])
def test_after_any_completed_action_a_second_run_has_nothing_to_do(
    sweep: list[tuple[Case, str, str]], verdict: str
) -> None:
    moved = [row for row in sweep if row[2] in WRITES | {Action.REVIEW, Action.AGREE}]
    after = run([completed(*row, verdict) for row in moved])
    quiet = {Action.NONE, Action.OVERRIDDEN, Action.HELD}
    assert [(row, told) for row, told in zip(moved, after, strict=True) if told[1] not in quiet] == []


def test_a_crash_after_the_write_is_read_as_converged_or_noop(sweep: list[tuple[Case, str, str]]) -> None:
    written = [row for row in sweep if row[2] in WRITES | {Action.REVIEW}]
    after = [completed(*row, "take_ours") for row in written]
    crashed = [
        replace(case, base_kind=row[0].base_kind, base=row[0].base) for case, row in zip(after, written, strict=True)
    ]
    told = run(crashed)
    assert {state for state, _ in told} <= {"converged", "noop", "baseline"}
    assert {action for _, action in told} <= {Action.AGREE, Action.NONE}


def test_an_edited_value_stays_until_the_proposal_changes() -> None:
    edited = Case("value", "w", "value", "w", "value", "v", override=True, kept="w", refused="v")
    assert run([edited, replace(edited, desired="u")]) == [
        ("overridden", "overridden"),
        ("override_lapsed", "review"),
    ]


def test_rows_are_open_unless_settled_or_without_anything_of_ours(sweep: list[tuple[Case, str, str]]) -> None:
    table = ENGINE.table([vars(case) for case, _, _ in sweep], SCHEMA).select(*KINDS)
    told = [row["open"] for row in ENGINE.rows(table.with_columns(open=is_open(COLUMNS)))]
    assert told == [
        state not in ("unmanaged", "noop") and not (state in ("orphan", "unreadable") and nothing_of_ours(case))
        for case, state, _ in sweep
    ]


def nothing_of_ours(case: Case) -> bool:
    wanted = case.desired_kind == "clear" or (case.desired_kind == "value" and case.desired)
    return not wanted and case.base_kind not in ("value", "empty")


def test_the_order_of_the_rows_does_not_matter(sweep: list[tuple[Case, str, str]]) -> None:
    some = sweep[:: max(1, len(sweep) // 500)]
    assert run([case for case, _, _ in reversed(some)]) == [(state, action) for _, state, action in reversed(some)]
