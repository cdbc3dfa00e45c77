"""Policy expressions as columns: true, false and unknown, by Kleene logic.

A fact is a pair of columns, `<fact>__lo` and `<fact>__hi`: the same value twice where it is known, bounds where only
bounds are known (a number), two possible values where it is one of two (a text), null where nothing is known. So an
unknown fact can still settle a comparison: a share that is at most 45 % is not 50 % or more.

Unknown is null. AND and OR of the engines then follow Kleene logic by themselves; what a bare `filter` or `when` would
do with unknown (take it for false) is said explicitly by `is_true`, `is_false` and `is_unknown`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import narwhals as nw

from mappings.expressions import All, Any_, AtLeast, Compare, Expr, Not, Ref, parse, references
from sync.frames import cases, certain, text
from sync.world import INT

Column = nw.Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A named expression, its references already known to exist."""

    name: str
    expr: Expr


def parse_rules(nodes: Mapping[str, object]) -> tuple[Rule, ...]:
    """Named expressions in an order in which each comes after those it mentions. Raises ValueError on a loop."""
    rules = {name: Rule(name=name, expr=parse(node)) for name, node in nodes.items()}
    ordered: list[Rule] = []
    while len(ordered) < len(rules):
        placed = {rule.name for rule in ordered}
        free = [r for n, r in rules.items() if n not in placed and references(r.expr) & set(rules) <= placed]
        if not free:
            loop = ", ".join(sorted(set(rules) - placed))
            raise ValueError(f"predicates {loop}: each waits for another; break the loop in tiers.yaml")
        ordered += free
    return tuple(ordered)


def column(expr: Expr, exact: Collection[str] = ()) -> Column:
    """The expression as a three-valued column; a reference reads column `p__<name>`.

    `exact` are facts without bounds: known or not, each in one column of its name.
    """
    match expr:
        case Ref(name):
            return nw.col(f"p__{name}")
        case Compare(field=field):
            return _compare_exact(expr) if field in exact else _compare(expr)
        case Not(item):
            return ~column(item, exact)
        case All(items):
            return reduce(lambda a, b: a & b, [column(item, exact) for item in items])
        case Any_(items):
            return reduce(lambda a, b: a | b, [column(item, exact) for item in items])
        case AtLeast(k, items):
            return at_least(k, [column(item, exact) for item in items])


def holds(expr: Expr, exact: Collection[str] = ()) -> Column:
    """True where the expression is known to hold; of all else it does not tell false from unknown, unlike `column`."""
    match expr:
        case Compare(field=field) if field not in exact:
            return _surely(expr)
        case All(items):
            return reduce(lambda a, b: a & b, [holds(item, exact) for item in items])
        case Any_(items):
            return reduce(lambda a, b: a | b, [holds(item, exact) for item in items])
        case _:
            return column(expr, exact)


def at_least(k: int, columns: Sequence[Column]) -> Column:
    """True once k are true, false once fewer than k can still be true, else unknown."""
    true, false = (nw.sum_horizontal([c.cast(INT) for c in some]) for some in (columns, [~c for c in columns]))
    return _three_valued(true >= k, false > len(columns) - k)


def is_true(predicate: Column) -> Column:
    """Known to hold; unknown counts as not known."""
    return certain(predicate)


def is_false(predicate: Column) -> Column:
    """Known not to hold; unknown counts as not known."""
    return certain(~predicate)


def is_unknown(predicate: Column) -> Column:
    """Neither known to hold nor known not to."""
    return predicate.is_null()


def letter(predicate: Column) -> Column:
    """T, F or U."""
    return cases([(predicate, "T"), (~predicate, "F")], "U")


def wanted(rule: Rule) -> str:
    """What would make the predicate true, in words: `gpo_covered is confirmed as false`."""
    match rule.expr:
        case Compare(op="eq", field=field, value=value):
            return f"{field} is confirmed as {_shown(value)}"
        case Compare(op="in", field=field, value=tuple(values)):
            return f"{field} is confirmed as {' or '.join(_shown(v) for v in values)}"
        case Compare(op=op, field=field, value=value):
            words = {"gt": "above", "gte": "at least", "lt": "below", "lte": "at most"}
            return f"{field} is confirmed {words[op]} {_shown(value)}"
        case _:
            return f"{rule.name} is confirmed"


def facts_of(expr: Expr, rules: Mapping[str, Expr]) -> tuple[str, ...]:
    """Facts an expression rests on, through references, sorted."""
    match expr:
        case Compare(field=field):
            return (field,)
        case Ref(name):
            return facts_of(rules[name], rules)
        case Not(item):
            return facts_of(item, rules)
        case All(items) | Any_(items) | AtLeast(_, items):
            return tuple(sorted({fact for item in items for fact in facts_of(item, rules)}))


def joined(parts: Sequence[tuple[Column, str]], separator: str) -> Column:
    """The texts whose condition holds, separated; empty where none does."""
    pieces = [nw.when(condition).then(nw.lit(separator + words)) for condition, words in parts]
    return text(*pieces).str.slice(len(separator))


def _compare_exact(expr: Compare) -> Column:
    actual, value = nw.col(expr.field), expr.value
    if expr.op in ("eq", "in"):
        return _is_one(actual, value if isinstance(value, tuple) else (value,))
    return {"gte": actual >= value, "gt": actual > value, "lte": actual <= value, "lt": actual < value}[expr.op]


def _compare(expr: Compare) -> Column:
    if expr.op in ("eq", "in"):
        return _equal_to_one(expr)
    low, high, value = nw.col(f"{expr.field}__lo"), nw.col(f"{expr.field}__hi"), expr.value
    false = {"gte": high < value, "gt": high <= value, "lte": low > value, "lt": low >= value}[expr.op]
    return _three_valued(_surely(expr), false)


def _surely(expr: Compare) -> Column:
    """True where the bounds say that it holds."""
    low, high, value = nw.col(f"{expr.field}__lo"), nw.col(f"{expr.field}__hi"), expr.value
    if expr.op in ("eq", "in"):
        values = value if isinstance(value, tuple) else (value,)
        both = _is_one(low, values) & _is_one(high, values)
        return both & (low == high) if _are_numbers(values) else both
    return {"gte": low >= value, "gt": low > value, "lte": high <= value, "lt": high < value}[expr.op]


def _equal_to_one(expr: Compare) -> Column:
    """True where both ends are among the values, false where no value is possible, else unknown."""
    low, high = nw.col(f"{expr.field}__lo"), nw.col(f"{expr.field}__hi")
    values = expr.value if isinstance(expr.value, tuple) else (expr.value,)
    low_in, high_in = (_is_one(end, values) for end in (low, high))
    if not _are_numbers(values):
        return nw.when(low_in == high_in).then(low_in)
    exact = low == high
    outside = reduce(lambda a, b: a & b, [certain(low > value) | certain(high < value) for value in values])
    return _three_valued(exact & low_in, outside | certain(exact & ~low_in))


def _are_numbers(values: Sequence[str | int | bool]) -> bool:
    return all(isinstance(value, int) and not isinstance(value, bool) for value in values)


def _is_one(end: Column, values: tuple[str | int | bool, ...]) -> Column:
    """True or false, unknown where the end is."""
    return end.is_in(list(values))


def _three_valued(true: Column, false: Column) -> Column:
    """True and false where one of the two is known to hold, else unknown."""
    return nw.when(true).then(nw.lit(value=True)).otherwise(nw.when(false).then(nw.lit(value=False)))


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
