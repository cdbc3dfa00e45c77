"""What a field map or feed layout must satisfy beyond its shape: names of the model, what may be pushed, and how."""

from __future__ import annotations

import codecs
import re
from collections import defaultdict
from collections.abc import Iterator

from mappings.canonical import FEEDS, MANAGED, OBJECTS, RECORD_KEYS, Field, FieldType
from mappings.expressions import near
from mappings.located import Document, MappingProblem
from mappings.schema import ColumnMap, CrmMap, FeedLayout, FieldMap, ObjectMap

REQUIRED_OBJECTS = ("account", "user")
ACTOR_KINDS = ("human", "integration", "workflow", "import", "us", "unknown")
_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_TYPES_OF_FORMAT: dict[str, tuple[FieldType, ...]] = {
    "text": (FieldType.TEXT, FieldType.PICKLIST),
    "id": (FieldType.TEXT,),
    "money": (FieldType.MONEY,),
    "percent": (FieldType.SHARE,),
    "integer": (FieldType.INTEGER,),
    "yes_no": (FieldType.BOOLEAN,),
    "rural_urban": (FieldType.BOOLEAN,),
    "date": (FieldType.DATE,),
    "person": (FieldType.TEXT,),
}
_ONE_OF: dict[str, tuple[str, ...]] = {
    "signal": ("firm_id", "record_id", "domain"),
    "ownership": ("ccn", "npi", "record_key"),
}
"""Fields of which a row needs one to be linked to an account."""
_ALL_OF: dict[str, tuple[str, ...]] = {
    "firm": ("firm_id",),
    "fact": ("firm_id",),
    "contact": ("record_id",),
    "edge": ("child_id", "parent_id"),
    "authority": ("org_id",),
    "ownership": ("kind", "owner_name"),
}
"""Fields that a row needs, every one, to be linked to accounts."""


def check_crm(document: Document, crm: CrmMap) -> Iterator[MappingProblem]:
    """Problems of a CRM's field map."""
    if document.file != f"{crm.kind}.yaml":
        yield document.problem(
            ("kind",), f"kind is {crm.kind!r} in {document.file}; expected the kind the file is named by"
        )
    for source, actor in crm.actor_kinds.items():
        if actor not in ACTOR_KINDS:
            fact = f"{source} is {actor!r}; expected one of {', '.join(ACTOR_KINDS)}"
            yield document.problem(("actor_kinds", source), fact, near(actor, ACTOR_KINDS))
    for name in REQUIRED_OBJECTS:
        if name not in crm.objects:
            yield document.problem(("objects",), f"object {name!r} is missing; the pull cannot do without it")
    for name, object_map in crm.objects.items():
        if name not in OBJECTS:
            fact = f"unknown object {name!r}; known are {', '.join(OBJECTS)}"
            yield document.problem(("objects", name), fact, near(name, OBJECTS))
        else:
            yield from _check_object(document, crm.kind, name, object_map)


def _check_object(document: Document, kind: str, name: str, object_map: ObjectMap) -> Iterator[MappingProblem]:
    known = {f.name: f for f in OBJECTS[name]}
    place = ("objects", name, "fields")
    for missing in _missing_fields(name, object_map):
        yield document.problem(place, f"{name} needs a native field for {missing!r}")
    for field, field_map in object_map.fields.items():
        here = (*place, field)
        if field in known:
            yield from _check_known(document, here, known[field], field_map)
        else:
            yield from _check_custom(document, here, tuple(known), name, field_map)
        yield from _check_write(document, here, kind, field, field_map)
    yield from _check_shared(document, place, object_map)


def _missing_fields(name: str, object_map: ObjectMap) -> list[str]:
    needed = {
        "account": ("name", "owner"),
        "user": ("email", "is_active"),
        "opportunity": ("record_id", "owner", "is_closed"),
        "team_member": ("record_id", "user_id"),
        "field_change": ("record_id", "field", "changed_at", "changed_by", "new_value"),
    }[name]
    return [field for field in needed if field not in object_map.fields]


def _check_known(
    document: Document, here: tuple[str, ...], field: Field, field_map: FieldMap
) -> Iterator[MappingProblem]:
    if field.name == RECORD_KEYS.get(here[1]):
        yield document.problem(here, f"{field.name} is the record id already; leave it out and name it under `id`")
    if field_map.type is not None and field_map.type != field.type:
        fact = f"{field.name} is of type {field.type}, not {field_map.type}; leave the type out, the model knows it"
        yield document.problem((*here, "type"), fact)
    if field_map.push and not field.managed:
        fact = f"{field.name} cannot be pushed: Platbook only reads it. It manages {', '.join(MANAGED)}"
        yield document.problem((*here, "push"), fact)


def _check_custom(
    document: Document, here: tuple[str, ...], known: tuple[str, ...], name: str, field_map: FieldMap
) -> Iterator[MappingProblem]:
    field = here[-1]
    if name != "account":
        fact = (
            f"unknown field {field!r} of {name}; known are {', '.join(known)}. Custom fields live on the account only"
        )
        yield document.problem(here, fact, near(field, known))
        return
    if field_map.type is None and not field_map.meaning:
        fact = f"{field!r} is not a field of the model; a custom field needs `type` and `meaning`"
        yield document.problem(here, fact, near(field, known))
    elif field_map.type is None or not field_map.meaning:
        yield document.problem(here, f"custom field {field!r} needs `{'meaning' if field_map.type else 'type'}`")
    if not _NAME.match(field):
        yield document.problem(here, f"custom field {field!r} must be lower-case words joined by _")
    if field in ("connection", "record_id", "version", "modified_at", "modified_by", "is_deleted", "merged_into"):
        yield document.problem(here, f"{field!r} is a column of every record; give the custom field another name")
    if field_map.push:
        fact = f"custom field {field!r} cannot be pushed in this version: it is pulled and exported only"
        yield document.problem((*here, "push"), fact)


def _check_write(
    document: Document, here: tuple[str, ...], kind: str, field: str, field_map: FieldMap
) -> Iterator[MappingProblem]:
    if not field_map.native.strip():
        yield document.problem((*here, "native"), f"{field} has an empty native name")
    if not field_map.push:
        return
    if field_map.native.startswith("!") or "+" in field_map.native or "." in field_map.native:
        yield document.problem((*here, "native"), f"{field} is pushed, so it needs one plain native field")
    if kind == "hubspot" and field_map.lane == "conditional":
        fact = f"{field} has no lane that HubSpot offers; write `lane: batch` (parent: association)"
        yield document.problem(here, fact)
    if field_map.lane == "association" and (kind, field) != ("hubspot", "parent"):
        yield document.problem((*here, "lane"), "lane association is for the parent in HubSpot only")
    if kind == "hubspot" and field == "parent" and field_map.lane != "association":
        yield document.problem(here, "HubSpot's parent company is written by `lane: association` only")


def _check_shared(document: Document, place: tuple[str, ...], object_map: ObjectMap) -> Iterator[MappingProblem]:
    """Two canonical fields on one native field would contradict each other."""
    used: dict[str, list[str]] = defaultdict(list)
    for field, field_map in object_map.fields.items():
        used[field_map.native].append(field)
    for native, fields in used.items():
        if len(fields) > 1:
            yield document.problem((*place, fields[1]), f"{native} stands for {' and '.join(fields)}; one is allowed")


_LINK_FIELDS = {"edge": ("child_id", "parent_id"), "authority": ("org_id",), "contact": ("record_id",), "signal": ()}


def check_feed(document: Document, layout: FeedLayout) -> Iterator[MappingProblem]:
    """Problems of a feed layout."""
    if document.file != f"feeds/{layout.feed}.yaml":
        fact = f"feed is {layout.feed!r} in {document.file}; expected the name of the file"
        yield document.problem(("feed",), fact)
    known = {f.name: f for f in FEEDS[layout.rows]}
    yield from _check_key(document, layout)
    for name, column in layout.fields.items():
        if name not in known:
            fact = f"unknown field {name!r} of a {layout.rows} feed; known are {', '.join(known)}"
            yield document.problem(("fields", name), fact, near(name, known))
        else:
            yield from _check_column(document, name, known[name], column)
    for name, value in layout.constants.items():
        if name not in known or known[name].type not in (FieldType.TEXT, FieldType.PICKLIST):
            texts = [n for n, f in known.items() if f.type in (FieldType.TEXT, FieldType.PICKLIST)]
            fact = f"constant {name!r} = {value!r} is not a text field of a {layout.rows} feed"
            yield document.problem(("constants", name), fact, near(name, texts))
    yield from _check_headers(document, layout)
    yield from _check_reading(document, layout)


def _check_key(document: Document, layout: FeedLayout) -> Iterator[MappingProblem]:
    if not layout.key:
        yield document.problem(("key",), "a feed needs a key: the fields that identify a row")
    for index, name in enumerate(layout.key):
        column = layout.fields.get(name)
        if column is None:
            fact = f"key field {name!r} has no column under `fields`"
            yield document.problem(("key", index), fact, near(name, layout.fields))
        elif not column.required:
            yield document.problem(("fields", name), f"key field {name!r} must say `required: true`")
    for index, name in enumerate(layout.key_may_be_blank):
        if name not in layout.key or name == "firm_id":
            fact = (
                f"{name!r} is not a key field that could be blank; expected one of {', '.join(layout.key)} but firm_id"
            )
            yield document.problem(("key_may_be_blank", index), fact)
    for group, names in enumerate(layout.sums_to_100):
        for index, name in enumerate(names):
            if name not in layout.fields or layout.fields[name].format != "percent":
                shares = [n for n, column in layout.fields.items() if column.format == "percent"]
                fact = f"{name!r} is not a percent field of this layout; expected {', '.join(shares) or 'none'}"
                yield document.problem(("sums_to_100", group, index), fact, near(name, shares))
    any_of = _ONE_OF.get(layout.rows, ())
    if any_of and not set(any_of) & set(layout.fields):
        fact = f"one of {', '.join(any_of)} is needed: rows could not be linked to an account"
        yield document.problem(("fields",), fact)
    for name in _ALL_OF.get(layout.rows, ()):
        if name not in layout.fields and name not in layout.constants:
            yield document.problem(("fields",), f"field {name!r} is missing: rows could not be linked to an account")


def _check_column(document: Document, name: str, field: Field, column: ColumnMap) -> Iterator[MappingProblem]:
    here = ("fields", name)
    if not column.columns:
        yield document.problem((*here, "columns"), f"{name} needs at least one column header")
    if column.type is not None and column.type != field.type:
        yield document.problem(
            (*here, "type"), f"{name} is of type {field.type}, not {column.type}; leave the type out"
        )
    if field.type not in _TYPES_OF_FORMAT[column.format]:
        formats = [f for f, types in _TYPES_OF_FORMAT.items() if field.type in types]
        fact = f"format {column.format} does not give a {field.type}; {name} takes {' or '.join(formats)}"
        yield document.problem((*here, "format"), fact)
    if column.digits is not None and (column.format != "id" or not 1 <= column.digits <= 20):
        yield document.problem((*here, "digits"), "digits belongs to format id and lies between 1 and 20")
    if column.times != 1 and (column.format not in ("money", "integer") or not 1 < column.times <= 10**9):
        fact = f"times is {column.times}; it belongs to money and integer and lies between 2 and 1000000000"
        yield document.problem((*here, "times"), fact)


def _check_headers(document: Document, layout: FeedLayout) -> Iterator[MappingProblem]:
    owner: dict[str, str] = {}
    for name, column in layout.fields.items():
        for index, header in enumerate(column.columns):
            here = ("fields", name, "columns", index)
            if header in owner:
                yield document.problem(here, f"column {header!r} is claimed by {owner[header]} already")
            elif header in layout.ignore:
                yield document.problem(here, f"column {header!r} is also under `ignore`")
            owner.setdefault(header, name)


def _check_reading(document: Document, layout: FeedLayout) -> Iterator[MappingProblem]:
    try:
        codecs.lookup(layout.encoding)
    except (LookupError, ValueError):
        fact = f"unknown encoding {layout.encoding!r}; expected utf-8, cp1252, latin-1 or another codec"
        yield document.problem(("encoding",), fact, near(layout.encoding, ("utf-8", "cp1252", "latin-1", "utf-16")))
    if len(layout.delimiter) != 1 or layout.delimiter in '"\r\n':
        yield document.problem(("delimiter",), f"delimiter is {layout.delimiter!r}; expected one character")
    yield from _check_words(document, layout)
    if not layout.former_name_pattern:
        return
    try:
        groups = re.compile(layout.former_name_pattern).groups
    except re.error as exc:
        yield document.problem(("former_name_pattern",), f"not a regular expression: {exc}")
        return
    if groups != 1:
        yield document.problem(
            ("former_name_pattern",), f"the pattern has {groups} groups; expected 1, the former name"
        )


def _check_words(document: Document, layout: FeedLayout) -> Iterator[MappingProblem]:
    words: dict[str, str] = {}
    if any(not word.strip() for word in layout.blank_words):
        yield document.problem(("blank_words",), "a blank cell says nothing already; give words")
    for kind, listed in (("clear_words", layout.clear_words), ("same_words", layout.same_words)):
        if listed and layout.rows != "firm":
            fact = f"a {layout.rows} feed has no {kind}: each row of it is a statement of its own"
            yield document.problem((kind,), fact)
        for index, word in enumerate(listed):
            lower = word.strip().lower()
            if not lower:
                yield document.problem((kind, index), "a blank cell means that nothing is said; give a word")
            elif lower in words:
                yield document.problem((kind, index), f"{word!r} stands under {words[lower]} already")
            words.setdefault(lower, kind)
