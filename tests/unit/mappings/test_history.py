"""Who changed what, from either CRM."""

from mappings.history import property_history_rows
from mappings.load import load
from mappings.translate import translator
from sync.world import FIELD_CHANGES

CRMS = load().crms
ACCOUNT_ID, ADA, BEN, ROBOT = "001Hs00000fxZf5IAE", "005Hs00000ahKRjIAM", "005Hs000002WKILIA4", "005Hs00000uAR0FIAW"


def salesforce(*records, **options):
    objects = CRMS["salesforce"].objects
    translate = translator(
        "field_change", objects["field_change"], "salesforce", account_map=objects["account"], **options
    )
    return translate(
        [
            {"AccountId": ACCOUNT_ID, "CreatedDate": "2022-01-02T03:04:05.000+0000", "CreatedById": ADA} | r
            for r in records
        ]
    )


def test_a_change_of_a_custom_field_is_named_canonically():
    (row,) = salesforce({"Field": "Territory__c", "OldValue": None, "NewValue": " WEST "})
    assert list(row) == list(FIELD_CHANGES)
    assert row == {
        "connection": "salesforce",
        "record_id": ACCOUNT_ID,
        "field": "territory",
        "changed_at": "2022-01-02T03:04:05.000Z",
        "changed_by": ADA,
        "actor_kind": "human",
        "old_value": None,
        "new_value": "WEST",
    }


def test_a_lookup_is_named_by_its_relationship_and_only_the_row_with_ids_counts():
    rows = salesforce(
        {"Field": "Owner", "OldValue": "Ada Birch", "NewValue": "Ben Ivory"},
        {"Field": "Owner", "OldValue": ADA, "NewValue": BEN[:15]},
    )
    assert [(row["field"], row["old_value"], row["new_value"]) for row in rows] == [("owner", ADA, BEN)]


def test_fields_outside_the_map_are_left_out():
    assert salesforce({"Field": "created"}, {"Field": "Rating", "NewValue": "Hot"}) == []


def test_the_actor_is_us_an_integration_or_a_person():
    record = {"Field": "Territory__c", "NewValue": "X"}
    kinds = [
        salesforce(record | {"CreatedById": who}, our_user=ROBOT[:15], actor_kinds={BEN[:15]: "integration"})[0][
            "actor_kind"
        ]
        for who in (ROBOT, BEN, ADA, None)
    ]
    assert kinds == ["us", "integration", "human", "unknown"]


def test_money_and_phone_take_their_canonical_form():
    rows = salesforce({"Field": "AnnualRevenue", "NewValue": 12.5}, {"Field": "Phone", "NewValue": "(702) 492-8509"})
    assert [row["new_value"] for row in rows] == ["1250", "7024928509"]


def test_hubspot_history_gives_old_and_new_values_oldest_first():
    entries = [
        {"value": "T1", "timestamp": "2022-03-01T00:00:00Z", "sourceType": "INTEGRATION", "sourceId": "77"},
        {"value": "T2", "timestamp": "2022-02-01T00:00:00Z", "sourceType": "CRM_UI", "updatedByUserId": 42},
        {"value": "", "timestamp": "2022-01-01T00:00:00Z", "sourceType": "NEW_KIND"},
    ]
    record = {"id": "5", "propertiesWithHistory": {"account_tier": entries, "unmapped": entries}}
    crm = CRMS["hubspot"]
    rows = property_history_rows(
        [record], crm.objects["account"], "hubspot", actor_kinds=crm.actor_kinds, our_user="77"
    )
    assert [list(row) for row in rows] == [list(FIELD_CHANGES)] * 3
    assert [(r["old_value"], r["new_value"], r["actor_kind"], r["changed_by"]) for r in rows] == [
        (None, None, "unknown", None),
        (None, "T2", "human", "42"),
        ("T2", "T1", "us", "77"),
    ]
