"""Builds everything a verb needs from the settings: the one place that knows all the parts."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from connectors.errors import Fatal
from connectors.hubspot.auth import RefreshGrant, StaticToken
from connectors.hubspot.session import HubSpotSession
from connectors.hubspot.session import HubSpotSettings as SessionSettings
from connectors.hubspot.source import HubSpotSource
from connectors.hubspot.target import HubSpotTarget
from connectors.protocol import CallMeter, Source, Target
from connectors.salesforce import auth as salesforce_auth
from connectors.salesforce.source import SalesforceSource
from connectors.salesforce.target import SalesforceTarget
from jobs.engines import open_engine
from jobs.settings import HubSpotSettings, SalesforceSettings, Settings
from mappings.load import load
from mappings.policy import Mappings
from mappings.schema import CrmMap
from store.agreed import Agreed
from store.connections import Connections
from store.crosswalk import Crosswalk
from store.database import Database, StoreError
from store.decisions import Decisions, Person
from store.events import OwnerEvents
from store.files import ParquetFiles
from store.leases import Leases
from store.link_decisions import LinkDecisions
from store.outbox import Outbox
from store.plans import Plans
from store.policy_versions import PolicyVersions
from store.routed import Routings
from store.runs import Runs
from store.slots import Slots
from store.snapshots import Snapshots
from store.suppressions import Suppressions
from sync.engine import Engine

SALESFORCE = "salesforce"
HUBSPOT = "hubspot"
CONDITIONS = "conditional_in_composite"
"""Capability that `doctor` can prove: If-Match is honoured inside a composite call."""


class SettingsError(ValueError):
    """A setting cannot be used; the message names the variable and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One CRM organisation, ready to talk to."""

    id: str
    kind: str
    map: CrmMap
    source: Source
    target: Target

    @property
    def meter(self) -> CallMeter:
        """The calls made so far; source and target share it."""
        return self.source.meter


@dataclass
class Wired:
    """All parts of one process. Parts are made when first asked for: `show` needs no CRM, `doctor` no plan."""

    settings: Settings
    person: Person = field(default_factory=lambda: Person(name=getpass.getuser()))
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    @cached_property
    def mappings(self) -> Mappings:
        return load(self.settings.mappings_dir)

    @cached_property
    def engine(self) -> Engine:
        return open_engine(self.settings.engine, spark_master=self.settings.spark.master)

    @cached_property
    def database(self) -> Database:
        return Database(self.settings.database_url)

    @cached_property
    def files(self) -> ParquetFiles:
        return ParquetFiles(self.settings.snapshot_url)

    @cached_property
    def snapshots(self) -> Snapshots:
        return Snapshots(self.database, self.files)

    @cached_property
    def plans(self) -> Plans:
        return Plans(self.database, self.files)

    @cached_property
    def agreed(self) -> Agreed:
        return Agreed(self.database, self.files)

    @cached_property
    def suppressions(self) -> Suppressions:
        return Suppressions(self.database)

    @cached_property
    def policy_versions(self) -> PolicyVersions:
        return PolicyVersions(self.database)

    @cached_property
    def crosswalk(self) -> Crosswalk:
        return Crosswalk(self.database)

    @cached_property
    def link_decisions(self) -> LinkDecisions:
        return LinkDecisions(self.database)

    @cached_property
    def decisions(self) -> Decisions:
        return Decisions(self.database)

    @cached_property
    def routings(self) -> Routings:
        return Routings(self.database)

    @cached_property
    def runs(self) -> Runs:
        return Runs(self.database)

    @cached_property
    def pins(self) -> Connections:
        return Connections(self.database)

    @cached_property
    def events(self) -> OwnerEvents:
        return OwnerEvents(self.database)

    @cached_property
    def outbox(self) -> Outbox:
        return Outbox(self.database)

    @cached_property
    def slots(self) -> Slots:
        return Slots(self.database)

    @cached_property
    def leases(self) -> Leases:
        return Leases(self.database, ttl_s=self.settings.lease_ttl_s)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Connections for which credentials are set, in the order in which leases are taken."""
        hubspot = self.settings.hubspot
        configured = {
            HUBSPOT: bool(hubspot.access_token.get_secret_value() or hubspot.refresh_token.get_secret_value()),
            SALESFORCE: bool(self.settings.salesforce.client_id),
        }
        return tuple(sorted(kind for kind, is_set in configured.items() if is_set))

    @cached_property
    def connections(self) -> tuple[Connection, ...]:
        """Every configured CRM, logged in. Raises Fatal on missing or wrong credentials, Retriable when unreachable."""
        if not self.kinds:
            raise Fatal(
                "no CRM is configured: set PLATBOOK_SALESFORCE__CLIENT_ID and its secret, or "
                "PLATBOOK_HUBSPOT__ACCESS_TOKEN; .env.example names every variable",
                system="settings",
            )
        return tuple(self.connect(kind) for kind in self.kinds)

    def as_of(self) -> str:
        """Today as an ISO date in the configured zone."""
        return self.local_time()[:10]

    def local_time(self) -> str:
        """Now in the configured zone, YYYY-MM-DDTHH:MM."""
        try:
            zone = ZoneInfo(self.settings.timezone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise SettingsError(
                f'PLATBOOK_TIMEZONE: "{self.settings.timezone}" is not a time zone; expected a name such as '
                "America/Chicago or UTC"
            ) from error
        return self.now().astimezone(zone).strftime("%Y-%m-%dT%H:%M")

    def proven(self, kind: str) -> dict[str, object]:
        """What `doctor` proved on a connection; empty where the state cannot be read."""
        try:
            return self.pins.capabilities(kind)
        except StoreError:
            return {}

    def connect(self, kind: str) -> Connection:
        """One configured CRM, logged in."""
        source, target = _SYSTEMS[kind](self.settings)
        if isinstance(target, SalesforceTarget) and self.proven(kind).get(CONDITIONS) is False:
            target.conditional_in_composite = False  # a proof outweighs the setting
        return Connection(id=kind, kind=kind, map=self.mappings.crms[kind], source=source, target=target)


def _salesforce(settings: Settings) -> tuple[Source, Target]:
    part = settings.salesforce
    session = salesforce_auth.connect(_salesforce_login(part), timeout_s=part.timeout_s)
    target = SalesforceTarget(session, conditional_in_composite=part.conditional_in_composite)
    return SalesforceSource(session), target


def _salesforce_login(
    part: SalesforceSettings,
) -> salesforce_auth.ClientCredentials | salesforce_auth.JwtBearer:
    if part.username:
        return salesforce_auth.JwtBearer(
            client_id=part.client_id,
            username=part.username,
            private_key_file=part.private_key_file,
            login_url=part.login_url or "https://login.salesforce.com",
            api_version=part.api_version,
        )
    return salesforce_auth.ClientCredentials(
        client_id=part.client_id,
        client_secret=part.client_secret.get_secret_value(),
        login_url=part.login_url,
        api_version=part.api_version,
    )


def _hubspot(settings: Settings) -> tuple[Source, Target]:
    session = hubspot_session(settings)
    return HubSpotSource(session), HubSpotTarget(session)


def hubspot_session(settings: Settings) -> HubSpotSession:
    """A session with the configured portal."""
    part = settings.hubspot
    return HubSpotSession(
        SessionSettings(base_url=part.base_url, api_version=part.api_version, read_timeout_s=part.timeout_s),
        _hubspot_login(part),
    )


def _hubspot_login(part: HubSpotSettings) -> StaticToken | RefreshGrant:
    if part.access_token.get_secret_value():
        return StaticToken(part.access_token.get_secret_value())
    return RefreshGrant(
        client_id=part.client_id,
        client_secret=part.client_secret.get_secret_value(),
        refresh_token=part.refresh_token.get_secret_value(),
    )


_SYSTEMS: dict[str, Callable[[Settings], tuple[Source, Target]]] = {SALESFORCE: _salesforce, HUBSPOT: _hubspot}
