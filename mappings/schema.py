"""Schema of the field maps and feed layouts: what a YAML file may say, as frozen pydantic models."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from mappings.canonical import FieldType


class Strict(BaseModel):
    """Base of everything read from YAML: frozen, and an unknown word is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Header(Strict):
    """Who owns a policy and since when it holds."""

    id: str
    version: int
    owner: str
    effective_from: str  # ISO date


class FieldMap(Strict):
    """One native field and the canonical field it stands for."""

    native: str  # "a + b" reads two fields joined by a blank; "!a" reads a boolean's contrary; both only without push
    type: FieldType | None = None  # only for custom fields; built-in ones know theirs
    push: bool = False  # Platbook may write it
    lane: Literal["conditional", "batch", "association"] = "conditional"
    clear_as: Literal["null", "empty_string"] = "null"
    meaning: str = ""  # required for custom fields


class ObjectMap(Strict):
    """One native object and its fields, keyed by canonical name. A name outside the model is a custom field."""

    native: str
    id: str
    version: str = ""  # modification stamp, the delta cursor
    modified_by: str = ""
    deleted: str = ""
    merged_into: str = ""
    merged_ids: str = ""
    contact_count: str = ""
    fields: dict[str, FieldMap]


class CrmMap(Strict):
    """A whole CRM: `salesforce.yaml` or `hubspot.yaml`."""

    kind: Literal["salesforce", "hubspot"]
    objects: dict[str, ObjectMap]
    actor_kinds: dict[str, str] = Field(default_factory=dict)  # native change source -> actor kind


class ColumnMap(Strict):
    """One canonical field of a feed and the column headers that may carry it."""

    columns: tuple[str, ...]  # the first is the usual one, the rest are synonyms
    required: bool = False  # the column must exist
    type: FieldType | None = None
    format: Literal["text", "money", "percent", "integer", "yes_no", "rural_urban", "date", "id", "person"] = "text"
    digits: int | None = None  # ids: restore leading zeros to this length
    times: int = 1  # money, integer: the column counts in thousands (1000), millions (1000000), ...


_SHEET_ERRORS = ("#N/A", "#REF!", "#VALUE!", "#NAME?", "#DIV/0!", "#NULL!", "#NUM!", "#SPILL!", "#CALC!")
BLANK_WORDS = (
    *_SHEET_ERRORS,
    *("N/A", "N.A.", "NA", "NULL", "(null)", "None", "NaN", "nil", "-", "--", "---", ".", "?"),
    *("Unknown", "TBD", "Not Available", "Not Applicable", "Not Reported"),
)
"""What exports, databases and spreadsheets write into a cell of which nothing is known."""


class FeedLayout(Strict):
    """One kind of vendor delivery: `feeds/*.yaml`."""

    feed: str  # name of the source, such as definitive
    rows: Literal["firm", "fact", "signal", "contact", "edge", "authority", "ownership"]
    key: tuple[str, ...]  # canonical fields that identify a row
    encoding: str = "utf-8"
    delimiter: str = ","
    fields: dict[str, ColumnMap]
    constants: dict[str, str] = Field(default_factory=dict)  # field -> value of every row that has none of its own
    ignore: tuple[str, ...] = ()  # known columns that are not used
    key_may_be_blank: tuple[str, ...] = ()  # key fields whose cell may be empty, such as an open date
    sums_to_100: tuple[tuple[str, ...], ...] = ()  # percent fields that make up a whole
    blank_words: tuple[str, ...] = BLANK_WORDS  # cells that say nothing, as a blank one; whatever their case
    clear_words: tuple[str, ...] = ()  # cells that say: there is none (any more); whatever their case
    same_words: tuple[str, ...] = ()  # cells that say: as in the last delivery
    former_name_pattern: str = ""  # regular expression with one group, applied to the name
