"""docs/mappings.md says what the code does."""

import re
from pathlib import Path

import yaml

from mappings.canonical import MANAGED, FieldType
from mappings.expressions import COMPARISONS, CONNECTIVES, check
from mappings.facts import ROUTING_FACTS, TIER_FACTS, vocabulary
from mappings.schema import ColumnMap, FeedLayout, FieldMap

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/mappings.md").read_text(encoding="utf-8")


def test_every_packaged_file_is_on_the_page():
    names = [path.relative_to(ROOT / "mappings").as_posix() for path in (ROOT / "mappings").rglob("*.yaml")]
    assert [name for name in names if f"`{name}`" not in PAGE] == []


def test_every_word_an_administrator_may_write_is_on_the_page():
    words = [
        *MANAGED,
        *FieldType,
        *(fact.name for fact in ROUTING_FACTS),
        *FieldMap.model_fields,
        *ColumnMap.model_fields,
    ]
    words += [name for name in FeedLayout.model_fields if name not in ("feed", "rows", "fields")]
    assert [word for word in words if f"`{word}" not in PAGE] == []
    assert [word for word in (*COMPARISONS, *CONNECTIVES) if f"{{{word}:" not in PAGE] == []


def test_the_expressions_on_the_page_are_expressions():
    written = re.findall(r"`(\{(?:eq|in|gt|all|any|not|at_least): [^`]*\})`", PAGE)
    assert len(written) >= 7
    for text in written:
        assert check(yaml.safe_load(text), predicates=frozenset("abcd"), facts=vocabulary(TIER_FACTS)) == ()


def test_the_yaml_on_the_page_is_of_the_right_shape():
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
    assert len(blocks) == 3
    for block in blocks:
        for value in block.values():
            (ColumnMap if "columns" in value else FieldMap).model_validate(value)
