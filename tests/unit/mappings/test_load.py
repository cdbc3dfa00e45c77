"""The packaged files are sound; a customer's mistakes are all reported, each with file and line."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from mappings.canonical import ACCOUNT, FEEDS, MANAGED
from mappings.load import MappingError, load

PACKAGED = Path(__file__).parents[3] / "mappings"


@pytest.fixture
def overlay(tmp_path):
    """A folder to lay over the packaged files: `write(name, text)`, `edit(name, old, new)`."""

    class Overlay:
        folder = tmp_path

        def write(self, name, text):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

        def edit(self, name, *changes):
            text = (PACKAGED / name).read_text(encoding="utf-8")
            for old, new in changes:
                assert old in text
                text = text.replace(old, new, 1)
            self.write(name, text)
            return text

        def problems(self):
            with pytest.raises(MappingError) as refused:
                load(tmp_path)
            return refused.value.problems

        def problem(self):
            (only,) = self.problems()
            return only

    return Overlay()


def line_of(text, words):
    return next(number for number, line in enumerate(text.splitlines(), 1) if words in line)


def test_the_packaged_mappings_load_and_cover_the_model():
    mappings = load()
    for crm in mappings.crms.values():
        fields = crm.objects["account"].fields
        assert {name for name, spec in fields.items() if spec.push} == set(MANAGED)
        assert set(fields) == {f.name for f in ACCOUNT}
    assert set(mappings.crms) == {"salesforce", "hubspot"}
    assert set(mappings.feeds["definitive"].fields) == {f.name for f in FEEDS["firm"]} - {
        "former_name",
        "employees",
        "annual_revenue_cents",
    }
    assert set(mappings.feeds["confirmed_facts"].fields) == {f.name for f in FEEDS["fact"]}
    assert set(mappings.policies.conflicts.fields) == set(MANAGED)
    assert len({fact.state for fact in mappings.regulation}) == 51


def test_owners_are_never_automatic_and_their_group_is_whole():
    fields = load().policies.conflicts.fields
    group = [name for name, policy in fields.items() if policy.group == "ownership"]
    assert group == ["owner", "owner_role", "territory", "routing_queue"]
    assert all(fields[name].on_update == "approve" and fields[name].on_drift == "review" for name in group)


def test_the_digest_names_the_content(overlay):
    before = load()
    assert load().digest == before.digest
    assert load(overlay.folder).digest == before.digest
    overlay.edit("policies/guards.yaml", ("count: 200", "count: 201"))
    assert load(overlay.folder).digest != before.digest


def test_a_comment_does_not_change_the_digest(overlay):
    overlay.edit("policies/guards.yaml", ("# Limits", "# The limits"))
    assert load(overlay.folder).digest == load().digest


def test_an_overlay_replaces_a_policy_from_its_top_folder_too(overlay):
    overlay.write(
        "reps.yaml",
        "policy: {id: r, version: 1, owner: us, effective_from: 2020-01-01}\n"
        "reps:\n  - {email: ada@example.com, name: Ada, role: PRIMARY, states: [ON, NO]}\n",
    )
    problem = overlay.problem()
    assert (problem.file, problem.line) == ("policies/reps.yaml", 3)
    assert "'NO' is not a state code" in problem.fact


def test_an_admin_renames_a_native_field_in_yaml_only(overlay):
    overlay.edit("salesforce.yaml", ("Territory__c", "Sales_Territory__c"))
    assert load(overlay.folder).crms["salesforce"].objects["account"].fields["territory"].native == "Sales_Territory__c"


def test_an_admin_adds_a_custom_field_in_yaml_only(overlay):
    overlay.edit(
        "salesforce.yaml",
        ("      parent:", "      bed_goal: {native: Bed_Goal__c, type: integer, meaning: Beds planned}\n      parent:"),
    )
    assert load(overlay.folder).crms["salesforce"].objects["account"].fields["bed_goal"].type == "integer"


FIELD_FAULTS = {
    "a word the schema does not know": ("pussh: true", "unknown field 'pussh'", "push"),
    "a lane that does not exist": ("lane: batsh", "expected one of conditional, batch, association", "batch"),
    "a value of the wrong type": ("push: [1]", "expected true or false", ""),
}


@pytest.mark.parametrize("case", FIELD_FAULTS)
def test_a_fault_in_a_field_is_named_with_its_line(overlay, case):
    written, words, suggestion = FIELD_FAULTS[case]
    text = overlay.edit("salesforce.yaml", ("native: Territory__c, push: true", f"native: Territory__c, {written}"))
    problem = overlay.problem()
    assert problem.line == line_of(text, written)
    assert words in problem.fact
    assert problem.suggestion == suggestion


CRM_FAULTS = {
    "a canonical name with a typing mistake": (
        ("      owner: {", "      ownr: {"),
        [
            "account needs a native field for 'owner'",
            "custom field 'ownr' cannot be pushed",
            "is not a field of the model",
        ],
    ),
    "a custom field that is pushed": (
        ("parent: {native", "goal: {native: G__c, type: text, meaning: Goal, push: true}\n      parent: {native"),
        ["custom field 'goal' cannot be pushed in this version"],
    ),
    "a custom field without a meaning": (
        ("parent: {native", "goal: {native: G__c, type: text}\n      parent: {native"),
        ["custom field 'goal' needs `meaning`"],
    ),
    "a custom field named like a column of every record": (
        ("parent: {native", "version: {native: V__c, type: text, meaning: V}\n      parent: {native"),
        ["'version' is a column of every record"],
    ),
    "a wrong type for a known field": (
        ("name: {native: Name}", "name: {native: Name, type: integer}"),
        ["name is of type text, not integer"],
    ),
    "two fields on one native field": (
        ("native: BillingCity", "native: BillingState"),
        ["BillingState stands for city and state"],
    ),
    "a pushed phone": (
        ("{native: Phone}", "{native: Phone, push: true}"),
        ["phone cannot be pushed: Platbook only reads it"],
    ),
    "the association lane outside HubSpot": (
        ("{native: ParentId, push: true}", "{native: ParentId, push: true, lane: association}"),
        ["lane association is for the parent in HubSpot only"],
    ),
    "an unconditional lane for a field that people own": (
        ("{native: ParentId, push: true}", "{native: ParentId, push: true, lane: batch}"),
        ["parent has lane batch, which overwrites without looking"],
    ),
    "two lanes in one group": (
        ("Tier_Status__c, push: true, lane: batch", "Tier_Status__c, push: true"),
        ["fields of group 'segmentation' are written together but have different lanes"],
    ),
    "an actor nobody knows": (
        ("actor_kinds: {}", "actor_kinds: {005x: robot}"),
        ["is 'robot'; expected one of human"],
    ),
    "an unknown object": (("  user:", "  usr:"), ["object 'user' is missing", "unknown object 'usr'"]),
}


@pytest.mark.parametrize("case", CRM_FAULTS)
def test_what_a_field_map_must_satisfy(overlay, case):
    change, words = CRM_FAULTS[case]
    overlay.edit("salesforce.yaml", change)
    problems = overlay.problems()
    assert len(problems) == len(words)
    assert all(any(word in problem.fact for problem in problems) for word in words)


def test_hubspot_has_no_conditional_lane(overlay):
    overlay.edit("hubspot.yaml", ("native: tier_status, push: true, lane: batch", "native: tier_status, push: true"))
    assert any("tier_status has no lane that HubSpot offers" in problem.fact for problem in overlay.problems())


FEED_FAULTS = {
    "no key": (("key: [firm_id]\n", ""), "field 'key' is missing"),
    "an empty key": (("key: [firm_id]", "key: []"), "a feed needs a key"),
    "a key without a column": (("key: [firm_id]", "key: [firm]"), "key field 'firm' has no column"),
    "a header claimed twice": (("Hospital Type]", "Firm Type]"), "column 'Firm Type' is claimed by firm_type already"),
    "a field of another feed": (("  city: {", "  confirmed_by: {"), "unknown field 'confirmed_by' of a firm feed"),
    "a format of another type": (
        ("Staffed Beds], format: integer", "Staffed Beds], format: money"),
        "does not give a integer",
    ),
    "a pattern that is none": (("former_name_pattern: '", "former_name_pattern: '("), "not a regular expression"),
    "a codec that is none": (("encoding: utf-8", "encoding: utf8x"), "unknown encoding 'utf8x'"),
    "a delimiter of two characters": (('delimiter: ","', 'delimiter: ",,"'), "expected one character"),
    "a share that is no share": (("other_days_bp]", "staffed_beds]"), "is not a percent field"),
    "another name than the file's": (("feed: definitive", "feed: dh"), "expected the name of the file"),
}


@pytest.mark.parametrize("case", FEED_FAULTS)
def test_what_a_feed_layout_must_satisfy(overlay, case):
    change, words = FEED_FAULTS[case]
    overlay.edit("feeds/definitive.yaml", change)
    assert any(words in problem.fact and problem.file == "feeds/definitive.yaml" for problem in overlay.problems())


POLICY_FAULTS = {
    "an unknown operator": (
        "tiers",
        ("{gte: [commercial_bp", "{gtee: [commercial_bp"),
        "unknown operator 'gtee'",
        "gte",
    ),
    "an unknown fact": ("tiers", ("{gte: [commercial_bp", "{gte: [comercial_bp"), "unknown fact", "commercial_bp"),
    "an unknown predicate": ("tiers", ("when: {all: [is_idn,", "when: {all: [is_idm,"), "unknown predicate", "is_idn"),
    "a predicate that refers to itself": (
        ("tiers"),
        ("is_idn: {eq: [org_type, IDN]}", "is_idn: {not: is_idn}"),
        "'is_idn' refers to itself",
        "",
    ),
    "a tier that does not imply the next": (
        "tiers",
        ("[is_idn, target_strong, commercial, non_con, no_gpo]}}", "[target_strong, commercial, non_con, no_gpo]}}"),
        "POLICY-NONMONOTONE: T1 does not imply T2",
        "",
    ),
    "a tier nobody reaches": (
        "tiers",
        ("[icp_type, {at_least: [2,", "[icp_type, target_mod, {at_least: [3,"),
        "POLICY-UNREACHABLE",
        "",
    ),
    "a knob that is none": ("tiers", ("max_beds: 25", "max_bed: 25"), "unknown field 'max_bed'", "max_beds"),
    "a knob below that is none": (
        "tiers",
        ("centralized: true", "central: true"),
        "unknown field 'central'",
        "centralized",
    ),
    "a service line nobody measures": ("tiers", ("line: ONCOLOGY", "line: ONCOLGY"), "expected one of", "ONCOLOGY"),
    "a network of one": ("tiers", ("min_hospitals: 6", "min_hospitals: 1"), "greater than or equal to 2", ""),
    "a tier twice": ("tiers", ("id: T2", "id: T1"), "'T1' stands twice", ""),
    "a routing rule for a tier that is not": (
        "routing",
        ("account_tier, T2", "account_tier, T4"),
        "asks for tier 'T4'",
        "",
    ),
    "a managed field without a policy": (
        "conflicts",
        ("  tier_status: *segmentation\n", ""),
        "CONFLICT-POLICY-MISSING",
        "",
    ),
    "a policy for no managed field": (
        "conflicts",
        ("  tier_status: ", "  tier_state: "),
        "is not a managed field",
        "tier_status",
    ),
    "a group named like a foreign field": (
        "conflicts",
        ("group: ownership", "group: parent"),
        "group 'parent' is named like the field parent",
        "",
    ),
    "a verdict that is none": ("conflicts", ("on_update: approve", "on_update: aprove"), "expected one of", "approve"),
    "a least difference of a text": (
        "conflicts",
        ("{group: hierarchy,", "{group: hierarchy, min_delta: 3,"),
        "min_delta is for numbers (score); parent is none",
        "",
    ),
    "convergence of others": (
        "conflicts",
        ("{group: hierarchy,", "{group: hierarchy, trust: [{actor: human, verdict: converge}],"),
        "verdict converge is for actor us alone",
        "",
    ),
    "a cascade of something else than the owner": (
        "conflicts",
        ("{group: hierarchy,", "{group: hierarchy, cascade: {keep_account_team: true},"),
        "nothing goes along with parent; only with owner",
        "",
    ),
    "an echo of nothing": (
        "conflicts",
        ("fields:\n", "multi_crm:\n  owner: {master: salesforce, mirror: [salesforce]}\nfields:\n"),
        "mirror needs another connection than the master salesforce",
        "",
    ),
    "an echo that takes too long": (
        "conflicts",
        ("fields:\n", "multi_crm:\n  owner: {master: salesforce, mirror: [hubspot], wait_for_echo: 2d}\nfields:\n"),
        "expected minutes or hours up to a day",
        "",
    ),
    "a master that is none": (
        "conflicts",
        ("fields:\n", "multi_crm:\n  owner: {master: salesfroce, mirror: [hubspot]}\nfields:\n"),
        "is not a connection",
        "salesforce",
    ),
    "an unknown source": (
        "survivorship",
        ("default: [definitive", "default: [definitiv"),
        "unknown source",
        "definitive",
    ),
    "an unknown edge": ("hierarchy", ("[OWNS,", "[OWN,"), "is not an edge of control", "OWNS"),
    "a share over the whole": ("hierarchy", ("majority_bp: 5000", "majority_bp: 50000"), "expected 0 to 10000", ""),
    "a negative limit": ("guards", ("clears: {count: 0}", "clears: {count: -1}"), "expected 0 or more", ""),
    "two windows of one length": ("guards", ("hours: 24,", "hours: 168,"), "two windows of 168 hours", ""),
    "a freeze without an end": ("guards", ("freeze: []", "freeze: [{id: always}]"), "would hold for ever", ""),
    "a freeze that ends first": (
        "guards",
        ("freeze: []", "freeze: [{id: a, from: 2026-12-21, until: 2026-12-01}]"),
        "until 2026-12-01 is before 2026-12-21",
        "",
    ),
    "an hour that is none": (
        "guards",
        ("freeze: []", "freeze: [{id: a, hours: [9, 25]}]"),
        "expected two different hours from 0 to 24",
        "",
    ),
    "a weekday that is none": ("guards", ("freeze: []", "freeze: [{id: a, weekdays: [mo]}]"), "expected one of", "mon"),
    "a canary of nowhere": ("guards", ("canaries: {}", "canaries: {sugar: ['1']}"), "is not a connection", ""),
    "a key that is none": ("identity", ("npi, ccn", "npy, ccn"), "expected one of", "npi"),
    "an address that is none": ("alerts", ("platbook@example.com", "platbook"), "is not an e-mail address", ""),
    "a date that is none": ("alerts", ("2020-01-01", "2020-1-1"), "is not a date", ""),
}


@pytest.mark.parametrize("case", POLICY_FAULTS)
def test_what_a_policy_must_satisfy(overlay, case):
    name, change, words, suggestion = POLICY_FAULTS[case]
    overlay.edit(f"policies/{name}.yaml", change)
    problems = [p for p in overlay.problems() if words in p.fact]
    assert problems
    assert problems[0].file == f"policies/{name}.yaml"
    assert problems[0].suggestion == suggestion


ROSTER = """\
policy: {id: r, version: 1, owner: us, effective_from: 2020-01-01}
reps:
  - {email: ada@example.com, name: Ada, role: PRIMARY, states: [TX]}
  - {email: Ada@example.com, name: Ada again, role: GEO, leave_from: 2022-02-01, leave_to: 2022-01-01}
"""
LAND = """\
policy: {id: t, version: 1, owner: us, effective_from: 2020-01-01}
owner_order: [named, state_geo]
named_accounts: {"123": adda@example.com}
territories:
  - {id: A, name: A, states: [TX, OK]}
  - {id: B, name: B, states: [TX], owner: bob@example.com}
"""


def test_people_and_territories_are_checked_against_each_other(overlay):
    overlay.write("reps.yaml", ROSTER)
    overlay.write("territories.yaml", LAND)
    told = {(p.file, p.line): p for p in overlay.problems()}
    assert set(told) == {
        ("policies/reps.yaml", 4),  # the person twice, or the leave: the same line
        ("policies/territories.yaml", 3),
        ("policies/territories.yaml", 6),
    }
    assert told["policies/territories.yaml", 3].suggestion == "ada@example.com"


def test_two_facts_of_a_state_for_one_day_are_refused(overlay):
    overlay.edit("regulation.yaml", ("states:\n", 'states:\n  - {state: AK, con: none, valid_from: "", citation: x}\n'))
    assert "AK has two facts for the same days" in overlay.problem().fact


def test_every_problem_of_every_file_comes_at_once(overlay):
    overlay.edit("salesforce.yaml", ("kind: salesforce", "kind: salesfroce"))
    overlay.edit("policies/guards.yaml", ("clears:", "cleers:"))
    overlay.write("feeds/broken.yaml", "feed: [1\n")
    overlay.write("conflict.yaml", "x: 1\n")
    problems = overlay.problems()
    assert {p.file for p in problems} == {
        "salesforce.yaml",
        "policies/guards.yaml",
        "feeds/broken.yaml",
        "conflict.yaml",
    }
    assert [p.suggestion for p in problems if p.file == "conflict.yaml"] == ["conflicts.yaml"]


def test_the_message_is_a_list_that_names_each_place(overlay):
    overlay.edit("policies/guards.yaml", ("clears:", "cleers:"))
    with pytest.raises(MappingError, match="the mappings have 2 problems") as refused:
        load(overlay.folder)
    assert "policies/guards.yaml:" in str(refused.value)
    assert "Did you mean clears?" in str(refused.value)


TEXT_FAULTS = {
    "a key twice": ("kind: salesforce\nkind: salesforce\n", 2, "stands twice, first on line 1"),
    "a bracket left open": ("kind: [\n", 2, "not valid YAML"),
    "an alias to itself": ("kind: &a [*a]\n", 1, "alias that contains itself"),
    "a tag that would make an object": ("kind: !!python/name:os.system x\n", 1, "is not used here"),
    "a merge key": ("a: &a {b: 1}\nc:\n  <<: *a\n", 3, "a key must be a plain word"),
    "nothing at all": ("", 1, "expected a map of names to values"),
    "a list": ("- 1\n", 1, "expected a map of names to values"),
    "a control character": ("kind: \x00\n", 1, "not valid YAML"),
    "deep nesting": ("[" * 2000, 1, ""),
}


@pytest.mark.parametrize("case", TEXT_FAULTS)
def test_text_that_is_no_map_is_a_problem_with_a_line(overlay, case):
    text, line, words = TEXT_FAULTS[case]
    overlay.write("salesforce.yaml", text)
    problem = next(p for p in overlay.problems() if p.file == "salesforce.yaml")
    assert problem.line == line
    assert words in problem.fact


def test_a_file_that_is_not_utf_8_is_a_problem(overlay):
    (overlay.folder / "salesforce.yaml").write_bytes(b"kind: \xff\n")
    assert "not UTF-8" in overlay.problem().fact


def test_an_overlay_folder_that_is_absent_is_a_problem(tmp_path):
    with pytest.raises(MappingError, match="does not exist"):
        load(tmp_path / "nowhere")


def test_one_file_at_two_places_is_a_problem(overlay):
    overlay.edit("policies/guards.yaml", ("count: 200", "count: 201"))
    overlay.write("guards.yaml", (PACKAGED / "policies/guards.yaml").read_text(encoding="utf-8"))
    assert "keep one of them" in overlay.problem().fact


def test_a_customer_may_add_a_feed(overlay):
    text = (PACKAGED / "feeds/definitive.yaml").read_text(encoding="utf-8").replace("feed: definitive", "feed: rival")
    overlay.write("feeds/rival.yaml", text)
    assert set(load(overlay.folder).feeds) == {*load().feeds, "rival"}


def test_the_packaged_files_are_also_plain_yaml_for_other_tools():
    for path in PACKAGED.rglob("*.yaml"):
        yaml.safe_load(path.read_text(encoding="utf-8"))


def test_an_overlay_folder_that_cannot_be_looked_into_does_not_mean_the_shipped_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "policies").mkdir()
    look = os.scandir

    def denied(place: str) -> Any:  # whoever runs the tests may be root, whom no mode stops
        if Path(place).name == "policies":
            raise PermissionError(13, "Permission denied", str(place))
        return look(place)

    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(MappingError, match=r"policies:1: the folder cannot be read \(Permission denied\)"):
        load(tmp_path)
