"""How long something may be kept: for each class of data and tenant, and arithmetic on seconds since the epoch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self, get_args

from seawall.foundation.errors import ConfigError
from seawall.foundation.units import Period, seconds

DataClass = Literal["content", "replies", "ledger", "audit"]
CLASSES: tuple[DataClass, ...] = get_args(DataClass)
# Six months: what the AI Act asks of those who deploy a high-risk system (Regulation (EU) 2024/1689, Article 26(6)).
LEAST_AUDIT = "183d"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long each class of data is kept from the moment it came, unless `tenants` has another word for one of them.

    `content` is what runs were given, said and came to; `replies` are answers kept for a retry with the same
    `Idempotency-Key`; `ledger` and `audit` their rows. The audit log is kept for 183 days,
    and for no less. ConfigError for what is
    no duration, an unknown class, or less than that.

    >>> Retention(tenants={"acme": {"content": "1d"}}).seconds_of("content", "acme")
    86400.0
    """

    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}

    content: str = "30d"
    replies: str = "24h"
    ledger: str = "30d"
    audit: str | None = None
    tenants: Mapping[str, Mapping[DataClass, str]] = field(default_factory=dict[str, Mapping[DataClass, str]])

    def __post_init__(self) -> None:
        """Refuse what cannot hold."""
        for whose, told in (
            ("all", {name: self._everybodys(name) for name in CLASSES}),
            *self.tenants.items(),
        ):
            for name, ttl in told.items():
                if name not in CLASSES:
                    raise ConfigError(f"retention of {whose}: {name!r} is none of {', '.join(CLASSES)}")
                if seconds(ttl) < seconds(LEAST_AUDIT) and name == "audit":
                    raise ConfigError(
                        f"retention of {whose}: audit={ttl!r} is too short; keep it for {LEAST_AUDIT} or longer"
                    )

    def of(self, name: DataClass, tenant: str) -> str:
        """Return how long a tenant's data of a class is kept."""
        return self.tenants.get(tenant, {}).get(name) or self._everybodys(name)

    def seconds_of(self, name: DataClass, tenant: str) -> float:
        """Return the same in seconds."""
        return seconds(self.of(name, tenant))

    def _everybodys(self, name: DataClass) -> str:
        return {
            "content": self.content,
            "replies": self.replies,
            "ledger": self.ledger,
            "audit": self.audit or LEAST_AUDIT,
        }[name]


def expires_at(created: float, ttl: Period) -> float:
    """Return the moment from which something created then must not be read."""
    return created + seconds(ttl)


def expired(expires_at: float, now: float) -> bool:
    """Return whether that moment has come; at the moment itself it has."""
    return now >= expires_at


@dataclass(frozen=True, slots=True)
class Expiry:
    """A moment, seconds since the epoch, from which something must not be read."""

    at: float

    @classmethod
    def after(cls, created: float, ttl: Period) -> Self:
        """Let it expire `ttl` after it was created; ConfigError unless ttl is a positive duration."""
        return cls(expires_at(created, ttl))

    def expired(self, now: float) -> bool:
        """Whether it must not be read any more."""
        return expired(self.at, now)

    def remaining(self, now: float) -> float:
        """Seconds for which it can still be read, 0 once expired."""
        return max(0.0, self.at - now)
