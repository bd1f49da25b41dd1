"""How a service runs: `seawall.toml`, and `SEAWALL_*` in the environment before it."""

import os
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from seawall.defense.limits import RateLimit, SlidingWindow
from seawall.defense.load import Backpressure
from seawall.defense.profiles import ProfileName
from seawall.foundation.compliance.retention import Retention
from seawall.foundation.errors import ConfigError
from seawall.foundation.units import seconds

_FILE = "seawall.toml"
_SIX_YEARS = "2192d"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LimitSettings(_Section):
    """One rate limit on requests, for every agent together: `limit` in each `per`, apart for each `key`."""

    limit: int = Field(gt=0)
    per: str = "1m"
    key: Literal["subject", "tenant", "api_key", "ip", "everyone"] = "subject"
    burst: int | None = Field(default=None, gt=0)

    def rate_limit(self) -> RateLimit:
        """Return it as the mechanism has it."""
        return RateLimit(self.limit, self.per, key=self.key, burst=self.burst)


class JwtSettings(_Section):
    """Tokens of an identity provider: which are taken, and which claims say who it is."""

    issuer: str
    audience: str
    jwks_url: HttpUrl | None = None
    tenant_claim: str = "tenant"
    subject_claim: str = "sub"
    scope_claim: str = "scope"


class AuditSettings(_Section):
    """How sure the audit log is: with `sync` no answer goes out before what was decided for it is on disk."""

    sync: bool = False


class ControllerSettings(_Section):
    """Who answers for the processing, as the record of it has to say (GDPR, Article 30(1))."""

    name: str = ""
    contact: str = ""
    representative: str = ""
    data_protection_officer: str = ""
    purposes: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()


class Settings(BaseSettings):
    """All settings of a service; whatever is not there has a default that is safe on one machine.

    Read from `seawall.toml`; `SEAWALL_PORT=9000` or `SEAWALL_JWT__ISSUER=…` in the environment come first. Seconds and
    durations are text such as "30s". `state` is a folder for keys, runs, people, the ledger and the audit log; with a
    `database_url` (postgresql://…) all but the API keys are there. With a `profile` every agent's policy has to have it, and
    what contradicts it is refused. `redis_url` is what several
    workers or machines share their counts through. `limits` and `backpressure` come before those of the application; changed limits
    in `source`, the file which they were read from, hold within seconds.
    """

    model_config = SettingsConfigDict(
        env_prefix="SEAWALL_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    source: Path | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    workers: int = Field(default=1, ge=1, le=64)
    state: Path = Path(".seawall")
    database_url: SecretStr | None = None
    redis_url: SecretStr | None = None
    drain: str = "30s"
    retention: Retention = Field(default_factory=Retention)
    audit: AuditSettings = Field(default_factory=AuditSettings)
    max_body: int = Field(default=1_000_000, ge=1_000)
    max_upload: int = Field(default=20_000_000, ge=1_000)
    heartbeat: str = "15s"
    resume: str = "30s"
    background_runs: int = Field(default=4, ge=1, le=256)
    profile: ProfileName | None = None
    controller: ControllerSettings = Field(default_factory=ControllerSettings)
    limits: tuple[LimitSettings, ...] | None = None
    backpressure: Backpressure | None = None
    jwt: JwtSettings | None = None

    @property
    def where(self) -> Path | str:
        """Where records are kept: the state folder, or the database's URL, which is a secret."""
        return self.state if self.database_url is None else self.database_url.get_secret_value()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Have the environment come before the file, which arrives as arguments."""
        return env_settings, init_settings


def read_settings(file: Path | None = None, **overrides: Any) -> Settings:
    """Read `file`, or `seawall.toml` of the working folder if there is one; `overrides` come before everything.

    ConfigError, naming the setting and never its value, for what cannot hold.
    """
    path, given = _read_file(file)
    if path is not None:
        given["source"] = path
    told = {name: value for name, value in overrides.items() if value is not None}
    try:
        read = Settings(**given)
        # What was told on the command line is checked with the rest.
        whole = Settings.model_validate({**read.model_dump(), **told}) if told else read
    except ValidationError as error:
        raise ConfigError(f"settings: {_mistakes(error)}") from None
    if whole.profile == "hipaa" and whole.retention.audit is None:
        return whole.model_copy(update={"retention": replace(whole.retention, audit=_SIX_YEARS)})
    return whole


def limits_of(
    settings: Settings, otherwise: Sequence[RateLimit | SlidingWindow]
) -> Sequence[RateLimit | SlidingWindow]:
    """Return the limits of the settings, or what holds where they have none."""
    return otherwise if settings.limits is None else [limit.rate_limit() for limit in settings.limits]


def check_settings(settings: Settings) -> None:
    """See that the settings go together; ConfigError where they do not."""
    if settings.workers > 1 and settings.redis_url is None:
        raise ConfigError(
            f"workers={settings.workers} would each count apart, and let that many times the limits through; "
            "give redis_url, which they share their counts through, or workers=1"
        )
    wrong = contradictions(settings)
    if wrong:
        raise ConfigError(f"profile {settings.profile!r} is contradicted: {'; '.join(wrong)}")


def contradictions(settings: Settings) -> list[str]:
    """Return what in the settings contradicts their profile; nothing where they have none."""
    if settings.profile is None:
        return []
    wrong: list[str] = []
    for name, tls in (("redis_url", "rediss://"), ("database_url", "sslmode=verify-full")):
        secret: SecretStr | None = getattr(settings, name)
        if secret is not None and not _is_private(secret.get_secret_value()):
            wrong.append(f"{name} goes over a network in plain text; expected {tls}")
    audit = settings.retention
    if settings.profile == "hipaa":
        tenants = ["", *audit.tenants]
        wrong += [
            f"audit is kept for {audit.of('audit', tenant)}, and documentation for six years (164.316(b)(2)(i))"
            for tenant in tenants
            if seconds(audit.of("audit", tenant)) < seconds(_SIX_YEARS)
        ]
    return wrong


def _is_private(url: str) -> bool:
    """Whether what is sent there is encrypted on its way, or does not leave this machine."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    host = parts.hostname or query.get("host", ["/"])[0]
    here = host in {"localhost", "127.0.0.1", "::1"} or host.startswith("/")
    encrypted = query.get("sslmode", [""])[0] in {"verify-full", "verify-ca"}
    return here or encrypted or parts.scheme in {"rediss", "unix"}


def _read_file(file: Path | None) -> tuple[Path | None, dict[str, Any]]:
    path = file or Path(os.environ.get("SEAWALL_CONFIG", _FILE))
    if file is None and not path.exists():
        return None, {}
    try:
        return path.resolve() if path.is_file() else None, tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}; give --config a file that is there"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is no TOML: {error}") from error


def _mistakes(error: ValidationError) -> str:
    found = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
    return "; ".join(found)
