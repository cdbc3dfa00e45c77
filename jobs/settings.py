"""The one Settings object: environment variables and `.env`, read once in `jobs/wiring.py`, passed down as values."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Literal

import dotenv.parser
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "PLATBOOK_"
ENV_FILE = Path(".env")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SalesforceSettings(_Part):
    """PLATBOOK_SALESFORCE__*: leave CLIENT_ID empty to work without Salesforce."""

    login_url: str = Field(
        "", description="Your My Domain, like https://acme.my.salesforce.com; http for loopback only"
    )
    client_id: str = Field("", description="Consumer key of the connected app")
    client_secret: SecretStr = Field(SecretStr(""), description="Consumer secret, for the client-credentials flow")
    username: str = Field("", description="Integration user, for the JWT bearer flow")
    private_key_file: Path | None = Field(None, description="PEM private key, for the JWT bearer flow")
    api_version: str = Field("62.0", description="REST API version")
    conditional_in_composite: bool = Field(
        True, description="Send If-Match writes 25 to a composite call; false = one call per record"
    )
    team_lane: Literal["off", "soap"] = Field(
        "off", description="soap: owner changes keep account teams, where the policy does not block them; off: blocked"
    )
    timeout_s: float = Field(60.0, description="Seconds to wait for one answer")


class HubSpotSettings(_Part):
    """PLATBOOK_HUBSPOT__*: leave ACCESS_TOKEN and REFRESH_TOKEN empty to work without HubSpot."""

    base_url: str = Field("https://api.hubapi.com", description="API address; http for loopback only")
    access_token: SecretStr = Field(SecretStr(""), description="Service key or private-app token")
    client_id: str = Field("", description="OAuth app, together with REFRESH_TOKEN")
    client_secret: SecretStr = Field(SecretStr(""), description="OAuth app secret")
    refresh_token: SecretStr = Field(SecretStr(""), description="OAuth refresh token, instead of ACCESS_TOKEN")
    api_version: str = Field("v3", description="v3, or a dated version such as 2026-09")
    timeout_s: float = Field(60.0, description="Seconds to wait for one answer")


class SmtpSettings(_Part):
    """PLATBOOK_SMTP__*: leave HOST empty to keep mails in the outbox."""

    host: str = Field("", description="Mail server")
    port: int = Field(587, description="Port")
    username: str = Field("", description="User, empty for none")
    password: SecretStr = Field(SecretStr(""), description="Password")
    security: Literal["starttls", "tls", "none"] = Field("starttls", description="none for loopback only")


class SparkSettings(_Part):
    """PLATBOOK_SPARK__*: used when PLATBOOK_ENGINE is spark."""

    master: str = Field("local[*]", description="Spark master URL")


class ScheduleSettings(_Part):
    """PLATBOOK_SCHEDULE__*: five-field cron in UTC for the daemon; off switches a job off."""

    pull: str = Field("10 * * * *", description="Pull both CRMs")
    plan: str = Field("30 4 * * *", description="Make the plan")
    apply_safe: str = Field("0 5 * * *", description="Apply what the policy approves by itself")
    alert: str = Field("*/5 * * * *", description="Send waiting mails")


class Settings(BaseSettings):
    """Everything an installation may set. Nobody else reads the environment."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_file=ENV_FILE,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    database_url: str = Field("sqlite:///var/platbook.db", description="SQLAlchemy URL: SQLite or PostgreSQL")
    snapshot_url: str = Field("var/snapshots", description="Folder of the Parquet snapshots and plans")
    report_dir: Path = Field(Path("var/reports"), description="Folder of diff logs and written mails")
    mappings_dir: Path | None = Field(None, description="Your edited mappings and policies; empty = shipped ones")
    engine: Literal["polars", "spark"] = Field("polars", description="Table engine under the core")
    timezone: str = Field("UTC", description="Zone in which the date of a plan (as_of) is taken")
    lease_ttl_s: float = Field(20.0, description="Seconds after which a dead worker's lease may be taken over")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "warning", description="Least severe log line written"
    )
    token: SecretStr = Field(SecretStr(""), description="Personal token of who acts; empty = as `platbook login` keeps")
    audit_head_file: Path | None = Field(
        None, description="Second place for the audit's last hash, outside the database; empty = none"
    )
    salesforce: SalesforceSettings = SalesforceSettings()
    hubspot: HubSpotSettings = HubSpotSettings()
    smtp: SmtpSettings = SmtpSettings()
    spark: SparkSettings = SparkSettings()
    schedule: ScheduleSettings = ScheduleSettings()


def documented() -> dict[str, str]:
    """Every environment variable and its meaning, in order: what `.env.example` must name."""
    names: dict[str, str] = {}
    for name, info in Settings.model_fields.items():
        part = info.annotation
        if isinstance(part, type) and issubclass(part, _Part):
            for sub, sub_info in part.model_fields.items():
                names[f"PLATBOOK_{name}__{sub}".upper()] = sub_info.description or ""
        else:
            names[f"PLATBOOK_{name}".upper()] = info.description or ""
    return names


def unread() -> list[str]:
    """What would be passed over in silence, each with its place: lines of `.env` and names that mean nothing."""
    known = documented()
    found = []
    for name, line, is_readable in _file_lines():
        if not is_readable:
            found.append(f"{ENV_FILE}:{line}: not of the form NAME=value")
        elif name.startswith(PREFIX) and not _is_known(name, known):
            found.append(f"{ENV_FILE}:{line}: {name} is no setting{_meant(name, known)}")
    for name in sorted(os.environ):  # a stranger may have names of his own there: only what looks like ours counts
        upper = name.upper()
        if upper.startswith(PREFIX) and not _is_known(upper, known) and _meant(upper, known):
            found.append(f"environment: {name} is no setting{_meant(upper, known)}")
    return found


def _file_lines() -> list[tuple[str, int, bool]]:
    """Name, line and whether it could be read, of every setting in `.env`. Raises OSError, UnicodeDecodeError."""
    if not ENV_FILE.exists():
        return []
    with ENV_FILE.open(encoding="utf-8-sig") as stream:
        bindings = list(dotenv.parser.parse_stream(stream))
    told = [((one.key or "").upper(), _line(one.original), not one.error) for one in bindings]
    return [one for one in told if one[0] or not one[2]]


def _line(original: dotenv.parser.Original) -> int:
    """Where a statement begins: what was parsed begins with the blank lines before it."""
    text = original.string
    return original.line + text[: len(text) - len(text.lstrip())].count("\n")


def _is_known(name: str, known: dict[str, str]) -> bool:
    """Names of a part are looked at with the part, which knows the right ones."""
    return name in known or any(name.startswith(f"{PREFIX}{part}__") or name == f"{PREFIX}{part}" for part in _parts())


def _parts() -> tuple[str, ...]:
    return tuple(name.upper() for name, info in Settings.model_fields.items() if isinstance(info.default, _Part))


def _meant(name: str, known: dict[str, str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
    return f"; did you mean {near[0]}?" if near else ""
