"""Native records of both CRMs become the same kind of rows; a desired value becomes what a write sends."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.canonical import MANAGED
from mappings.load import load
from mappings.schema import FieldMap, ObjectMap
from mappings.translate import (
    account_rows,
    deleted_ids,
    desired_native,
    native_fields,
    opportunity_rows,
    team_member_rows,
    translator,
    user_rows,
)
from sync.world import OPPORTUNITIES, RECORDS, TEAM_MEMBERS, USERS

MAPPINGS = load()
SALESFORCE = MAPPINGS.crms["salesforce"].objects
HUBSPOT = MAPPINGS.crms["hubspot"].objects

SAN_MARTIN = {
    "attributes": {"type": "Account", "url": "/services/data/v60.0/sobjects/Account/001Hs00000fxZf5IAE"},
    "Id": "001Hs00000fxZf5IAE",
    "Name": " Saint Rose - San Martin ",
    "ParentId": "001Hs00000LruEq",
    "OwnerId": "005Hs00000uAR0FIAW",
    "Type": "Acute Care Hospitals",
    "BillingStreet": "8280 W Warm Springs Road",
    "BillingCity": "Las Vegas",
    "BillingState": "Nevada",
    "BillingPostalCode": "89113-0001",
    "BillingCountry": "USA",
    "Phone": "(702) 492-8509",
    "Website": "http://www.strosehospitals.org/san-martin",
    "NumberOfEmployees": 633,
    "AnnualRevenue": 1234567.89,
    "CCN__c": "290053",
    "NPI__c": "1528101284",
    "Rescore_Flag__c": False,
    "Account_Tier__c": "",
    "SystemModstamp": "2017-09-05T05:11:33.000+0000",
    "LastModifiedById": "005Hs00000uAR0FIAW",
    "IsDeleted": False,
    "MasterRecordId": None,
}

TRAVIS = {
    "id": "2854331074",
    "properties": {
        "name": "60th Medical Group",
        "phone": "707-423-7300",
        "state": "CA",
        "zip": "94533",
        "hubspot_owner_id": "74129050",
        "hs_parent_company_id": "6261500479",
        "ccn": "5015F",
        "numberofemployees": "120",
        "annualrevenue": "2500000",
        "rescore_flag": "true",
        "hs_lastmodifieddate": "2018-08-23T04:03:09.000Z",
    },
    "archived": False,
}


def test_a_salesforce_account_becomes_a_record():
    (row,) = account_rows([SAN_MARTIN], SALESFORCE["account"], "salesforce")
    assert list(row) == list(RECORDS)
    assert row == dict.fromkeys(RECORDS) | {
        "connection": "salesforce",
        "record_id": "001Hs00000fxZf5IAE",
        "name": "Saint Rose - San Martin",
        "account_type": "Acute Care Hospitals",
        "street": "8280 W Warm Springs Road",
        "city": "Las Vegas",
        "state": "NV",
        "zip5": "89113",
        "country": "USA",
        "phone": "7024928509",
        "domain": "strosehospitals.org",
        "employees": 633,
        "annual_revenue_cents": 123_456_789,
        "ccn": "290053",
        "npi": "1528101284",
        "parent": "001Hs00000LruEqIAJ",
        "owner": "005Hs00000uAR0FIAW",
        "rescore_flag": "false",
        "version": "2017-09-05T05:11:33.000+0000",
        "modified_at": "2017-09-05T05:11:33.000Z",
        "modified_by": "005Hs00000uAR0FIAW",
        "is_deleted": False,
    }


def test_a_hubspot_company_becomes_a_record_of_the_same_shape():
    (row,) = account_rows([TRAVIS], HUBSPOT["account"], "hubspot")
    assert list(row) == list(RECORDS)
    assert row["record_id"] == "2854331074"
    assert (row["ccn"], row["employees"], row["annual_revenue_cents"]) == ("05015F", 120, 250_000_000)
    assert (row["owner"], row["parent"], row["rescore_flag"]) == ("74129050", "6261500479", "true")
    assert (row["is_deleted"], row["merged_into"]) == (False, None)


def test_a_salesforce_merge_names_the_survivor():
    loser = SAN_MARTIN | {"IsDeleted": True, "MasterRecordId": "001Hs00000is1NO"}
    (row,) = account_rows([loser], SALESFORCE["account"], "salesforce")
    assert (row["is_deleted"], row["merged_into"]) == (True, "001Hs00000is1NOIAY")


def test_the_losers_of_a_hubspot_merge_get_rows_that_name_the_survivor():
    merged = TRAVIS | {"properties": TRAVIS["properties"] | {"hs_merged_object_ids": "11;12; 2854331074"}}
    old = {"id": "12", "properties": {"name": "Old"}, "archived": True}
    rows = {row["record_id"]: row for row in account_rows([old, merged], HUBSPOT["account"], "hubspot")}
    assert set(rows) == {"2854331074", "11", "12"}
    assert rows["2854331074"]["merged_into"] is None
    assert [(rows[i]["name"], rows[i]["is_deleted"], rows[i]["merged_into"]) for i in ("11", "12")] == [
        (None, True, "2854331074"),
        ("Old", True, "2854331074"),
    ]
    assert list(rows["11"]) == list(RECORDS)
    assert rows["11"]["version"] == rows["2854331074"]["version"]


def test_an_archived_company_is_deleted():
    (row,) = account_rows([TRAVIS | {"archived": True}], HUBSPOT["account"], "hubspot")
    assert row["is_deleted"] is True


def test_custom_fields_follow_with_their_type():
    fields = {**HUBSPOT["account"].fields, "goal": FieldMap(native="bed_goal", type="integer", meaning="Beds planned")}
    object_map = HUBSPOT["account"].model_copy(update={"fields": fields})
    record = TRAVIS | {"properties": TRAVIS["properties"] | {"bed_goal": "250"}}
    (row,) = account_rows([record], object_map, "hubspot")
    assert row["goal"] == 250
    assert "bed_goal" in native_fields(object_map)[0]


def test_users_and_owners_become_the_same_rows():
    salesforce = [{"Id": "005Hs00000ahKRj", "Email": "Ada@Example.com", "Name": "Ada Birch", "IsActive": True}]
    hubspot = [
        {
            "id": "75681357",
            "email": "ada@example.com",
            "firstName": "Ada",
            "lastName": "Birch",
            "archived": True,
            "userId": 17,
        }
    ]
    assert user_rows(salesforce, SALESFORCE["user"], "salesforce") == [
        {
            "connection": "salesforce",
            "user_id": "005Hs00000ahKRjIAM",
            "email": "ada@example.com",
            "name": "Ada Birch",
            "is_active": True,
            "actor_id": "005Hs00000ahKRjIAM",
        }
    ]
    (owner,) = user_rows(hubspot, HUBSPOT["user"], "hubspot")
    assert list(owner) == list(USERS)
    assert (owner["user_id"], owner["name"], owner["is_active"]) == ("75681357", "Ada Birch", False)
    assert owner["actor_id"] == "17"


def test_a_deal_belongs_to_its_primary_company():
    results = [{"id": "9", "type": "deal_to_company_unlabeled"}, {"id": "77", "type": "deal_to_company"}]
    deal = {
        "id": "5",
        "properties": {"amount": "1200.50", "closedate": "2019-03-22T00:00:00Z", "hs_is_closed": "true"},
        "associations": {"companies": {"results": results}},
        "archived": False,
    }
    (row,) = opportunity_rows([deal], HUBSPOT["opportunity"], "hubspot")
    assert list(row) == list(OPPORTUNITIES)
    assert (row["opportunity_id"], row["record_id"]) == ("5", "77")
    assert (row["amount_cents"], row["close_date"], row["is_closed"], row["is_won"]) == (
        120_050,
        "2019-03-22",
        True,
        None,
    )


def test_a_deal_without_a_company_has_none():
    (row,) = opportunity_rows([{"id": "5", "properties": {}}], HUBSPOT["opportunity"], "hubspot")
    assert row["record_id"] is None


def test_deleted_opportunities_and_team_members_are_left_out_and_named():
    gone = [{"Id": "006Hs00000mngWa", "IsDeleted": True}]
    assert opportunity_rows(gone, SALESFORCE["opportunity"], "salesforce") == []
    assert deleted_ids(gone, SALESFORCE["opportunity"]) == ["006Hs00000mngWaIAI"]


def test_a_team_member_row():
    member = {
        "Id": "01M",
        "AccountId": "001Hs00000fxZf5IAE",
        "UserId": "005Hs00000eB3t3IAC",
        "TeamMemberRole": "OVERLAY",
    }
    (row,) = team_member_rows([member], SALESFORCE["team_member"], "salesforce")
    assert list(row) == list(TEAM_MEMBERS)
    assert (row["record_id"], row["user_id"], row["role"]) == ("001Hs00000fxZf5IAE", "005Hs00000eB3t3IAC", "OVERLAY")


def test_a_pull_asks_for_what_the_map_names_and_says_what_it_cannot_see():
    visible = frozenset({"name", "state", "firstName", "hs_lastmodifieddate"})
    wanted, missing = native_fields(HUBSPOT["account"], visible)
    assert wanted == ("hs_lastmodifieddate", "name", "state")
    assert {"owner", "account_tier"} <= set(missing)
    assert "name" not in missing
    assert native_fields(HUBSPOT["user"])[0] == ("email", "firstName", "lastName", "userId")
    assert native_fields(HUBSPOT["opportunity"], frozenset({"amount"}))[1].count("record_id") == 0


def test_a_field_that_is_not_visible_stays_null_even_when_it_is_sent():
    translate = translator("account", HUBSPOT["account"], "hubspot", frozenset({"name"}))
    (row,) = translate([TRAVIS])
    assert (row["name"], row["owner"], row["zip5"]) == ("60th Medical Group", None, None)


@pytest.mark.parametrize(
    ("field", "text", "kind", "native"),
    [
        ("owner", "005Hs00000uAR0FIAW", "salesforce", "005Hs00000uAR0FIAW"),
        ("rescore_flag", "true", "salesforce", True),
        ("rescore_flag", None, "salesforce", False),
        ("territory", None, "salesforce", None),
        ("rescore_flag", "true", "hubspot", "true"),
        ("territory", None, "hubspot", ""),
        ("owner", "74129050", "hubspot", "74129050"),
    ],
)
def test_a_desired_value_becomes_what_the_crm_takes(field, text, kind, native):
    field_map = MAPPINGS.crms[kind].objects["account"].fields[field]
    assert desired_native(field, text, field_map, kind=kind) == native


@given(
    text=st.text(max_size=20).map(str.strip),
    field=st.sampled_from(MANAGED),
    kind=st.sampled_from(["salesforce", "hubspot"]),
)
@settings(max_examples=150, deadline=None)
def test_what_is_written_reads_back_as_the_same_text(text, field, kind):
    objects = MAPPINGS.crms[kind].objects["account"]
    field_map = objects.fields[field]

    def read(native):
        record = {"Id": "1", "id": "1", field_map.native: native, "properties": {field_map.native: native}}
        return account_rows([record], objects, kind)[0][field]

    canonical = read("true" if field == "rescore_flag" else text)
    assert read(desired_native(field, canonical, field_map, kind=kind)) == (
        canonical if canonical or field != "rescore_flag" or kind == "hubspot" else "false"
    )


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=4,
)


@given(values=st.dictionaries(st.sampled_from(sorted(SAN_MARTIN)), JSON))
@settings(max_examples=150, deadline=None)
def test_no_field_value_makes_the_translation_fail(values):
    record = SAN_MARTIN | values
    for object_map in (SALESFORCE["account"], HUBSPOT["account"]):
        names = {spec.native: value for spec, value in zip(object_map.fields.values(), record.values(), strict=False)}
        account_rows([{"Id": "1", "id": "1", "properties": names, **names}], object_map, "x")


def test_history_needs_the_account_map():
    with pytest.raises(ValueError, match="needs account_map"):
        translator("field_change", ObjectMap(native="AccountHistory", id="Id", fields={}), "salesforce")
