"""Parties: CRM records and vendor firms in one shape, with comparable forms of everything a link may rest on."""

from __future__ import annotations

import narwhals as nw
import pyarrow as pa
import pyarrow.compute as pc

from sync.engine import Engine, Frame
from sync.identity.identifiers import (
    ccn_classes,
    group_of_class,
    group_of_kind,
    groups_of,
    groups_of_names,
    specialty_of_class,
    specialty_of_kind,
    valid_npi,
)
from sync.identity.normalize import city_key, name_key, street_key, without_place
from sync.world import World

FEED_RANK, SALESFORCE_RANK, HUBSPOT_RANK, OTHER_RANK = 0, 10, 11, 12

_RAW = (
    *("source", "source_id", "rank", "name", "former_name", "kind", "street", "city", "state", "zip5", "phone"),
    *("domain", "ccn", "npi", "vendor_id"),
)
_TEXTS = (
    *("source", "source_id", "name_key", "former_key", "street_key", "city_key", "state", "zip5", "phone", "domain"),
    *("definitive_id", "npi", "ccn", "name_zip", "name_phone", "system_place", "kind_group", "kind_from", "specialty"),
)
PARTY = pa.schema([*((name, pa.string()) for name in _TEXTS), ("rank", pa.int64()), ("wrong_class", pa.bool_())])
"""One row per live CRM record and per firm.

`definitive_id`, `npi`, `ccn`, `domain`, `name_zip`, `name_phone` and `system_place` hold the key where it may be used,
else null. `rank` orders the sources; `kind_group` is the kind of organisation, `kind_from` what says so (type, number
or name) and `specialty` what a hospital does, where known; `wrong_class` marks a CCN of another kind.
"""


def make_parties(world: World, engine: Engine) -> Frame:
    """PARTY rows of a world and `party`, a number to join them by. Deleted and merged records are no parties."""
    raw = nw.concat([_firms(world.firms), _records(world.records)], how="vertical")
    return engine.numbered(engine.map_batches(raw, make_keys, PARTY), "party")


def make_keys(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Comparable forms of a batch of raw parties."""
    raw = {name: batch.column(name) for name in batch.schema.names}
    text = {name: raw[name].cast(pa.string()) for name in _RAW if name != "rank"}
    names, cities, zips = name_key(text["name"]), city_key(text["city"]), text["zip5"]
    by_kind = groups_of(text["kind"], group_of_kind)
    by_name = _by_name(text["name"], by_kind)
    classes = ccn_classes(text["ccn"])
    by_class = groups_of(classes, group_of_class)
    wrong = _wrong_class(text["ccn"], by_class, pc.coalesce(by_kind, by_name))
    by_number = pc.if_else(wrong, pa.scalar(None, pa.string()), by_class)
    kinds = pc.coalesce(by_kind, by_number, by_name)
    columns = {
        **{name: text[name] for name in ("source", "source_id", "state", "zip5", "phone", "domain")},
        "name_key": names,
        "former_key": name_key(text["former_name"]),
        "street_key": street_key(text["street"]),
        "city_key": cities,
        "definitive_id": text["vendor_id"],
        "npi": valid_npi(text["npi"]),
        "ccn": pc.if_else(wrong, pa.scalar(None, pa.string()), text["ccn"]),
        "name_zip": _name_and_place(names, zips, cities, text["state"]),
        "name_phone": pc.binary_join_element_wise(names, text["phone"], "|"),
        "system_place": _system_place(text, names, cities, kinds),
        "kind_group": kinds,
        "kind_from": _first_known(type=by_kind, number=by_number, name=by_name),
        # The number is more exact than the type: rehabilitation units are often typed as their hospital.
        "specialty": pc.coalesce(
            pc.if_else(wrong, pa.scalar(None, pa.string()), groups_of(classes, specialty_of_class)),
            groups_of(text["kind"], specialty_of_kind),
        ),
        "rank": raw["rank"].cast(pa.int64()),
        "wrong_class": wrong,
    }
    return pa.RecordBatch.from_arrays([columns[field.name] for field in PARTY], schema=PARTY)


def _firms(firms: Frame) -> Frame:
    kind = nw.concat_str([nw.col("firm_type"), nw.col("hospital_type")], separator=" ", ignore_nulls=True)
    return firms.select(
        nw.col("feed").alias("source"),
        nw.col("firm_id").alias("source_id"),
        nw.lit(FEED_RANK).cast(nw.Int64()).alias("rank"),
        *("name", "former_name"),
        kind.alias("kind"),
        *("street", "city", "state", "zip5", "phone", "domain", "ccn", "npi"),
        nw.col("firm_id").alias("vendor_id"),
    )


def _records(records: Frame) -> Frame:
    rank = (
        nw.when(nw.col("connection") == "salesforce")
        .then(nw.lit(SALESFORCE_RANK))
        .otherwise(nw.when(nw.col("connection") == "hubspot").then(nw.lit(HUBSPOT_RANK)).otherwise(nw.lit(OTHER_RANK)))
    )
    return live(records).select(
        nw.col("connection").alias("source"),
        nw.col("record_id").alias("source_id"),
        rank.cast(nw.Int64()).alias("rank"),
        "name",
        nw.lit(None).cast(nw.String()).alias("former_name"),
        nw.col("account_type").alias("kind"),
        *("street", "city", "state", "zip5", "phone", "domain", "ccn", "npi"),
        nw.col("definitive_id").alias("vendor_id"),
    )


def live(records: Frame) -> Frame:
    """Records that still exist: neither deleted nor merged away."""
    return records.filter(~nw.col("is_deleted").fill_null(value=False), nw.col("merged_into").is_null())


def _by_name(names: pa.Array, by_kind: pa.Array) -> pa.Array:
    """The kind of organisation that names give away, where the row's own type gives none."""
    unknown = pc.is_null(by_kind)
    return pc.replace_with_mask(pa.nulls(len(names), pa.string()), unknown, groups_of_names(names.filter(unknown)))


def _first_known(**known: pa.Array) -> pa.Array:
    """Name of the first argument that is not null, row by row; null where all are."""
    nothing = pa.scalar(None, pa.string())
    return pc.coalesce(*(pc.if_else(pc.is_valid(values), name, nothing) for name, values in known.items()))


def _wrong_class(ccns: pa.Array, by_class: pa.Array, by_kind: pa.Array) -> pa.Array:
    """True where a number is printed whose class is none, or contradicts the kind of the row."""
    clash = pc.fill_null(pc.not_equal(by_class, by_kind), fill_value=False)
    return pc.and_(pc.is_valid(ccns), pc.or_(clash, pc.is_null(by_class)))


def _system_place(text: dict[str, pa.Array], names: pa.Array, cities: pa.Array, kinds: pa.Array) -> pa.Array:
    """Name, city and state of what may be a health system: of that kind, or of no known kind and without an address.

    A trailing "- City" is left out of the name. Never the name alone: systems in several states share theirs.
    """
    bare = pc.and_(pc.is_null(kinds), pc.and_(pc.is_null(text["street"]), pc.is_null(text["zip5"])))
    fits = pc.or_(pc.fill_null(pc.equal(kinds, "system"), fill_value=False), bare)
    names, cities, states = (column.filter(fits) for column in (names, cities, text["state"]))
    shown = text["name"].filter(fits)
    short = without_place(shown, text["city"].filter(fits))
    changed = pc.fill_null(pc.not_equal(short, shown), fill_value=False)
    names = pc.replace_with_mask(names, changed, name_key(short.filter(changed)))
    made = pc.binary_join_element_wise(names, cities, states, "|")
    return pc.replace_with_mask(pa.nulls(len(kinds), pa.string()), fits, made)


def _name_and_place(names: pa.Array, zips: pa.Array, cities: pa.Array, states: pa.Array) -> pa.Array:
    """Name with ZIP; where a row has no ZIP (systems) name with city and state. Null where a part is missing."""
    with_zip = pc.binary_join_element_wise(names, zips, "|")
    if not zips.null_count:
        return with_zip
    lacking = pc.is_null(zips)
    names, cities, states = (column.filter(lacking) for column in (names, cities, states))
    return pc.replace_with_mask(with_zip, lacking, pc.binary_join_element_wise(names, cities, states, "|"))
