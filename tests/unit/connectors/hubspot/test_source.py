"""Pulling follows cursors to their end, never loops, and asks for as little as it can."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.errors import Fatal, Retriable
from connectors.hubspot.auth import StaticToken
from connectors.hubspot.session import HubSpotSession
from connectors.hubspot.source import HubSpotSource
from tests.unit.connectors.hubspot.conftest import Connect, Reply, Script, Seen


def company(number: int, **properties: Any) -> dict[str, Any]:
    return {"id": str(number), "properties": properties, "archived": False, "updatedAt": "2026-01-02T00:00:00Z"}


def results(*records: dict[str, Any], after: str = "", **more: Any) -> Reply:
    paging = {"paging": {"next": {"after": after}}} if after else {}
    return Reply(body={"results": list(records), **paging, **more})


def test_a_cursor_that_repeats_itself_stops_the_pull(script: Script, session: HubSpotSession) -> None:
    script.say(results(company(1), after="1"))
    with pytest.raises(Retriable, match="repeats itself"):
        list(HubSpotSource(session).pull("companies", ["name"]))
    assert len(script.seen) == 2


def test_a_search_that_does_not_advance_stops_the_pull(script: Script, session: HubSpotSession) -> None:
    script.say(results(company(1), after="200"))
    with pytest.raises(Retriable, match="repeats itself"):
        list(HubSpotSource(session).pull("companies", ["name"], since="2026-01-01T00:00:00.000Z"))


def test_a_search_out_of_order_passes_no_record_over(script: Script, session: HubSpotSession) -> None:
    def answer(seen: Seen) -> Reply:
        if seen.path.endswith("/search"):
            return results(company(3), company(1), after="200")  # 2 would come on a page that the anchor skips
        return results() if ("archived", "true") in seen.query else results(company(1), company(2), company(3))

    script.say(answer)
    pages = list(HubSpotSource(session).pull("companies", ["name"], since="2026-01-01T00:00:00.000Z"))
    assert {record["id"] for page in pages for record in page.records} == {"1", "2", "3"}
    assert [page.complete for page in pages] == [False, False, True]


def test_owners_come_at_the_usual_page_size_where_the_largest_is_refused(
    script: Script, session: HubSpotSession
) -> None:
    def answer(seen: Seen) -> Reply:
        if ("limit", "500") in seen.query:
            return Reply(status=400, body={"category": "VALIDATION_ERROR", "message": "limit is too large"})
        return results({"id": 7, "email": "ana@acme.example", "userId": 70})

    script.say(answer)
    pages = list(HubSpotSource(session).pull("owners", []))
    assert [[(one["id"], one["archived"]) for one in page.records] for page in pages] == [[("7", False)], [("7", True)]]


def test_an_owner_who_has_left_keeps_the_id_of_the_user(script: Script, session: HubSpotSession) -> None:
    left = {"id": "7", "email": "ana@acme.example", "userId": None, "userIdIncludingInactive": 70, "archived": True}
    script.say(results(), results(left))
    *_, page = HubSpotSource(session).pull("owners", [])
    assert page.records[0]["userId"] == 70


DETAILS, ABOUT_TOKEN = "/account-info/v3/details", "/oauth/v2/private-apps/get/access-token-info"


def test_a_token_that_may_not_ask_about_the_account_still_tells_its_portal(
    script: Script, session: HubSpotSession
) -> None:
    def answer(seen: Seen) -> Reply:
        if seen.path == DETAILS:
            return Reply(status=403, body={"category": "MISSING_SCOPES"})
        assert (seen.path, seen.headers["authorization"]) == (ABOUT_TOKEN, "Bearer pat")
        return Reply(body={"hubId": 4711, "appId": 9, "userId": 1})

    script.say(answer)
    org = HubSpotSource(session).org()
    assert (org.org_id, org.user_id, org.is_sandbox) == ("4711", "9", None)


def test_a_portal_that_nobody_tells_is_known_by_the_credentials(script: Script, connect: Connect) -> None:
    script.say(Reply(status=404, body=b"<html>"))
    first, again, other = (HubSpotSource(connect(StaticToken(word))).org().org_id for word in ("a", "a", "b"))
    assert first == again != other
    assert first.startswith("unnamed-")


def test_a_refused_token_names_no_portal(script: Script, session: HubSpotSession) -> None:
    script.say(Reply(status=401, body={"category": "INVALID_AUTHENTICATION"}))
    with pytest.raises(Fatal, match="not accepted"):
        HubSpotSource(session).org()
    assert len(script.seen) == 1


def test_archived_is_asked_for_only_when_wanted(script: Script, session: HubSpotSession) -> None:
    script.say(results())
    pages = list(HubSpotSource(session).pull("companies", ["name", "archived", "id"]))
    assert [page.complete for page in pages] == [False, True]
    wanted = [("properties", name) for name in ("name", "hs_lastmodifieddate", "hs_merged_object_ids")]
    assert script.seen[0].query == [("limit", "100"), *wanted]
    assert script.seen[1].query == [("limit", "100"), *wanted, ("archived", "true")]


def test_properties_too_long_for_a_url_come_by_batch_read(script: Script, session: HubSpotSession) -> None:
    names = [f"custom_property_number_{number}" for number in range(40)]

    def answer(seen: Seen) -> Reply:
        if seen.method == "GET" and ("archived", "true") not in seen.query:
            return results(company(1), company(2))
        if seen.path.endswith("/batch/read"):
            return results(
                *(company(int(one["id"]), **dict.fromkeys(seen.body["properties"], "x")) for one in seen.body["inputs"])
            )
        return results()

    script.say(answer)
    pages = list(HubSpotSource(session, url_limit=200).pull("companies", names))
    assert [seen.path.rsplit("/", 1)[-1] for seen in script.seen] == ["companies", "read", "companies"]
    assert all(set(names) <= set(record["properties"]) for record in pages[0].records)
    assert [value for name, value in script.seen[0].query if name == "properties"] == ["hs_object_id"]


def test_a_delta_asks_for_the_watermark_itself_and_anchors_each_page_at_an_id(
    script: Script, session: HubSpotSession
) -> None:
    script.say(results(company(7), company(9), after="200"), results(company(12)), results())
    pages = list(HubSpotSource(session).pull("companies", ["name"], since="1970-01-01T00:00:01.000Z"))
    bodies = [seen.body for seen in script.seen if seen.path.endswith("/search")]
    first, second = ([(f["operator"], f["value"]) for f in body["filterGroups"][0]["filters"]] for body in bodies)
    assert (first, second) == ([("GTE", "1000")], [("GTE", "1000"), ("GT", "9")])
    assert all(body["sorts"] == ["hs_object_id"] and body["limit"] == 200 and "after" not in body for body in bodies)
    assert [record["id"] for page in pages for record in page.records] == ["7", "9", "12"]


def test_a_delta_takes_from_the_archive_what_was_archived_since(script: Script, session: HubSpotSession) -> None:
    old = {**company(1), "archived": True, "archivedAt": "2026-01-01T00:00:00.000Z"}
    new = {**company(2), "archived": True, "archivedAt": "2026-02-01T00:00:00.000Z"}
    script.say(results(), results(old, new))
    pages = list(HubSpotSource(session).pull("companies", ["name"], since="2026-01-15T00:00:00Z"))
    assert [record["id"] for page in pages for record in page.records] == ["2"]


def test_a_watermark_without_a_zone_is_refused(script: Script, session: HubSpotSession) -> None:
    with pytest.raises(ValueError, match="time zone"):
        list(HubSpotSource(session).pull("companies", [], since="2026-01-01T00:00:00"))
    assert script.seen == []


def test_deals_found_by_search_get_their_companies(script: Script, session: HubSpotSession) -> None:
    edges = {
        "results": [
            {
                "from": {"id": "5"},
                "to": [
                    {"toObjectId": 71, "associationTypes": [{"typeId": 341}]},
                    {"toObjectId": 72, "associationTypes": [{"typeId": 5}, {"typeId": 341}]},
                ],
            }
        ],
        "errors": [{"category": "OBJECT_NOT_FOUND", "message": "none", "context": {"fromObjectId": ["6"]}}],
    }
    script.say(results(company(5), company(6)), Reply(status=207, body=edges), results())
    pages = list(HubSpotSource(session).pull("deals", ["associations.companies"], since="2026-01-01T00:00:00Z"))
    five, six = (record for page in pages for record in page.records)
    assert {(one["id"], one["type"]) for one in five["associations"]["companies"]["results"]} == {
        ("71", "deal_to_company_unlabeled"),
        ("72", "deal_to_company"),
        ("72", "deal_to_company_unlabeled"),
    }
    assert "associations" not in six


def test_associations_that_could_not_be_read_are_not_taken_for_none(script: Script, session: HubSpotSession) -> None:
    broken = {"results": [], "errors": [{"category": "INTERNAL_ERROR", "message": "oops"}]}
    script.say(results(company(5)), Reply(status=207, body=broken))
    with pytest.raises(Retriable, match="associations"):
        list(HubSpotSource(session).pull("deals", ["associations.companies"], since="2026-01-01T00:00:00Z"))


def test_an_unknown_object_is_a_mistake_of_the_caller(session: HubSpotSession) -> None:
    with pytest.raises(ValueError, match="contacts"):
        HubSpotSource(session).pull("contacts", [])


def test_describe_knows_what_may_be_written(script: Script, session: HubSpotSession) -> None:
    script.say(
        results(
            {"name": "tier", "type": "enumeration", "label": "Tier", "options": [{"value": "1"}, {"value": "2"}]},
            {"name": "parent", "type": "number", "label": "P", "modificationMetadata": {"readOnlyValue": True}},
            {"name": "gone", "type": "string", "label": "G", "archived": True},
        )
    )
    parent, tier = HubSpotSource(session).describe("companies")
    assert (parent.name, parent.updateable) == ("parent", False)
    assert (tier.name, tier.updateable, tier.picklist) == ("tier", True, ("1", "2"))
