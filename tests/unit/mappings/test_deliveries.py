"""Vendor rows become firms and facts; an unreadable cell is unknown and named."""

from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.deliveries import CellProblems, canonical_rows, columns_present
from mappings.load import load
from sync.world import FACTS, FIRMS

FEEDS = load().feeds
FIRM = {
    "Definitive ID": "711332",
    "Hospital Name": "OSF Little Company of Mary Medical Center (FKA Little Company of Mary Hospital)",
    "Firm Type": "Hospital",
    "State": "MA",
    "Zip Code": "2116",
    "Phone": "(708) 422-6200",
    "Website": "http://www.lcmh.org",
    "Medicare Provider Number": "50689",
    "# of Staffed Beds": "1,227",
    "Net Patient Revenue": "($244,897,835)",
    "Medicare % of Days (HCRIS)": "30.7%",
    "Geographic Classification": "Urban",
    "Critical Access": "No",
    "Profile Last Updated": "2022-07-15",
}


def firms(*rows, layout=FEEDS["definitive"], last=None):
    return translated(enumerate(rows, 1), layout, last=last)


def translated(numbered, layout, last=None):
    problems = CellProblems()
    rows = canonical_rows(numbered, layout, file="d.csv", as_of="2022-12-01", problems=problems, last=last)
    return list(rows), problems.first


def test_a_vendor_row_becomes_a_firm():
    (row,), problems = firms(FIRM)
    assert problems == []
    assert set(row) == set(FIRMS)
    assert row == dict.fromkeys(FIRMS) | {
        "feed": "definitive",
        "firm_id": "711332",
        "name": "OSF Little Company of Mary Medical Center",
        "former_name": "Little Company of Mary Hospital",
        "firm_type": "Hospital",
        "state": "MA",
        "zip5": "02116",
        "phone": "7084226200",
        "domain": "lcmh.org",
        "ccn": "050689",
        "staffed_beds": 1227,
        "net_patient_revenue_cents": -24_489_783_500,
        "medicare_days_bp": 3070,
        "is_rural": False,
        "is_critical_access": False,
        "updated_on": "2022-07-15",
        "as_of": "2022-12-01",
        "file": "d.csv",
        "row": 1,
    }


def test_a_name_that_is_only_a_former_name_stays():
    (row,), _ = firms(FIRM | {"Hospital Name": "(FKA Mercy)"})
    assert (row["name"], row["former_name"]) == ("(FKA Mercy)", None)


def test_a_synonym_carries_the_field():
    renamed = {("CCN" if column == "Medicare Provider Number" else column): text for column, text in FIRM.items()}
    (row,), _ = firms(renamed)
    assert row["ccn"] == "050689"
    assert columns_present(FEEDS["definitive"], renamed)["ccn"] == "CCN"


def test_an_unreadable_cell_is_unknown_and_named_without_its_text():
    bad = {"# of Staffed Beds": "many", "Medicare % of Days (HCRIS)": "130%", "Zip Code": "2", "Website": "nowhere"}
    (good, row), problems = firms(FIRM, FIRM | bad)
    assert good["staffed_beds"] == 1227
    assert [row[f] for f in ("staffed_beds", "medicare_days_bp", "zip5", "domain")] == [None] * 4
    assert {(p.row, p.column, p.field) for p in problems} == {
        (2, "# of Staffed Beds", "staffed_beds"),
        (2, "Medicare % of Days (HCRIS)", "medicare_days_bp"),
        (2, "Zip Code", "zip5"),
        (2, "Website", "domain"),
    }
    told = [str(p) for p in problems]
    assert "d.csv:row 2:# of Staffed Beds: the cell is not a whole number from 0 on; it counts as unknown" in told
    assert not any("many" in text for text in told)


def test_a_blank_cell_is_unknown_without_a_problem():
    (row,), problems = firms(FIRM | {"# of Staffed Beds": " ", "Zip Code": ""})
    assert (row["staffed_beds"], row["zip5"], problems) == (None, None, [])


def test_a_confirmed_fact_keeps_its_value_as_text():
    cells = {
        "Definitive ID": "104346",
        "Fact": "GPO_Contract",
        "Category": "infusion_pumps",
        "Value": "none",
        "Valid From": "1/1/2019",
        "Valid To": "",
        "Confirmed By": "ada@example.com",
    }
    (row,), problems = translated([(1, cells)], FEEDS["confirmed_facts"])
    assert problems == []
    assert set(row) == set(FACTS)
    assert (row["fact"], row["value"], row["valid_from"], row["valid_to"]) == (
        "gpo_contract",
        "none",
        "2019-01-01",
        None,
    )


def test_no_rows_give_no_rows():
    assert firms() == ([], [])


@given(cells=st.dictionaries(st.sampled_from(sorted(FIRM)), st.text(max_size=20)))
@settings(max_examples=150, deadline=None)
def test_no_cell_makes_the_translation_fail(cells):
    firms(FIRM | cells)
