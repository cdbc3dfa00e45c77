"""The switches of the sandbox CRMs: what is set up in the org, and behaviours that vendors do not promise."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

MANAGED_SALESFORCE = (
    "Health_System__c",
    "Owner_Role__c",
    "Territory__c",
    "Routing_Queue__c",
    "Account_Tier__c",
    "Tier_Status__c",
    "Account_Score__c",
    "Rescore_Flag__c",
    "Rescore_Reason__c",
)
"""Custom fields of Account that keep field history."""


@dataclass(slots=True, kw_only=True)
class Settings:
    """Switches. Where a vendor's behaviour is not certain, both behaviours are here."""

    # Salesforce
    salesforce_page_size: int = 2000  # most rows of a query page
    short_pages: bool = False  # pages come shorter than asked for
    conditional_in_composite: bool = True  # If-Match works inside composite; False = it is silently ignored there
    assignment_rule: bool = True  # an active rule re-assigns what is written without Sforce-Auto-Assign: FALSE
    assignment_rule_user: str = ""  # who gets it; "" = the first active user by id, the integration's own left out
    assignment_objects: tuple[str, ...] = ("Account", "Opportunity")  # what the rule looks at
    keep_account_team: bool = False  # False = an owner change by REST deletes the account's team
    team_drop_probability: float = 0.0  # seeded chance that a member goes although KeepAccountTeam was asked for
    owner_options_per_pair: bool = True  # KeepAccountTeam holds for the first old and new owner of a request only
    contacts_follow_account: bool = False  # contacts are controlled by their account: no member's ContactAccessLevel
    cascade_open_opportunities: bool = False  # an owner change takes the old owner's open opportunities along
    cascade_contacts: bool = False  # and the old owner's contacts
    restrict_picklists: bool = True
    picklists: dict[str, tuple[str, ...]] = field(default_factory=dict)  # Account field -> its closed list of values
    custom_fields: dict[str, str] = field(default_factory=dict)  # further Account fields -> describe type
    allow_inactive_owner: bool = False  # the permission "update records with inactive owners"
    row_refusals: dict[str, str] = field(default_factory=dict)  # Account id -> code every row write is refused with
    trigger_rewrite: dict[str, Any] = field(default_factory=dict)  # Account field -> value a flow sets after API writes
    late_commit_s: float = 0.0  # a written row becomes visible so long after its stamp
    tracked_fields: tuple[str, ...] = ("OwnerId", "ParentId", *MANAGED_SALESFORCE)  # AccountHistory is kept for these
    history_labels: bool = False  # history names Owner and Parent, and adds a row with names beside the row with ids
    daily_limit: int = 100_000  # Salesforce API calls
    token_calls: int = 0  # a Salesforce token dies after so many calls; 0 = never
    cursor_lifetime_s: float = 172_800.0
    lock_probability: float = 0.0  # seeded chance that a row write meets a lock
    lock_parents: bool = True  # rows of one parent in two requests at the same time: the later one meets a lock
    bulk_polls: int = 1  # so many polls see a Bulk job unfinished
    bulk_runs_alone: bool = False  # True = a Bulk job works as soon as it is closed, polled or not
    bulk_batch_rows: int = 10_000
    bulk_daily_batches: int = 15_000
    bulk_max_bytes: int = 100_000_000
    bulk_tries: int = 20  # a batch that fails so often fails its job
    bulk_failing_batches: dict[int, int] = field(default_factory=dict)  # batch of a job -> how often it fails first
    bulk_repeats_results: bool = False  # rows of a batch that was tried again appear twice in the results
    bulk_job_lifetime_s: float = 604_800.0
    # HubSpot
    second_parent: str = "replace"  # or "error": what a second parent company does
    hubspot_page_max: int = 100
    burst_limit: int = 190  # requests in ten seconds
    search_per_second: int = 5
    hubspot_daily_limit: int = 650_000
    search_lag_s: float = 0.0  # the search index is so far behind
    retry_after_on_429: bool = False
