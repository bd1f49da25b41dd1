"""How trust is lost and earned back, as data."""

from dataclasses import asdict, dataclass, field, fields

from seawall.defense.abuse.steps import Rungs
from seawall.foundation.errors import ConfigError
from seawall.foundation.units import Period, seconds

_HIGHEST = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """The steps of one kind of caller; the defaults are a subject's. ConfigError if it cannot hold.

    A hit is one verdict of a guard against a request, owed until it is earned back, one every `regain`. With
    `watch` owed a caller is watched and its requests weigh 2, 4, 8 … up to `heaviest`; with `hits` it is refused
    for `cool_down`, twice as long with each further hit up to `longest_cool_down`; with `ban_after` for `ban`.
    """

    watch: int = 1
    hits: int = 3
    ban_after: int = 10
    regain: Period = "10m"
    cool_down: Period = "1m"
    longest_cool_down: Period = "1h"
    ban: Period = "24h"
    heaviest: int = 16
    rungs: Rungs = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what cannot hold, and work the numbers out once."""
        for name in ("watch", "hits", "ban_after", "heaviest"):
            whole(f"Ladder({name}=", getattr(self, name), 1, _HIGHEST)
        if not self.watch <= self.hits <= self.ban_after:
            raise ConfigError(
                f"Ladder: watch={self.watch}, hits={self.hits} and ban_after={self.ban_after} must not fall, "
                "such as 1, 3, 10"
            )
        cool_down, longest = milliseconds(self.cool_down), milliseconds(self.longest_cool_down)
        ban = milliseconds(self.ban)
        if not cool_down <= longest <= ban:
            raise ConfigError(
                f"Ladder: cool_down={self.cool_down!s}, longest_cool_down={self.longest_cool_down!s} and "
                f"ban={self.ban!s} must not grow shorter, such as 1m, 1h, 24h"
            )
        rungs = Rungs(
            self.watch,
            self.hits,
            self.ban_after,
            milliseconds(self.regain),
            cool_down,
            longest,
            ban,
            self.heaviest,
        )
        object.__setattr__(self, "rungs", rungs)

    def describe(self) -> dict[str, object]:
        """Return the ladder as plain data."""
        return _plain(self, {"rungs"})


def _tenant() -> Ladder:
    # A tenant's refusal falls on everybody in it: it takes many subjects and many hits, and is short.
    return Ladder(
        watch=20,
        hits=60,
        ban_after=300,
        regain="1m",
        cool_down="30s",
        longest_cool_down="10m",
        ban="1h",
        heaviest=4,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Abuse:
    """What a guard's hits do to the trust in a caller; frozen, validated, printable.

    `tenant` is climbed only while hits of `tenant_subjects` different subjects came within `tenant_window`, and a
    subject adds to it only the hits before its own cool-down: one bad user never moves its tenant.

    A fingerprint of refused content that `fingerprint_subjects` different subjects of a tenant sent within
    `fingerprint_window` is known: those who sent it and whoever sends it again pay `fingerprint_cost` hits.

    At most `abreast` requests of a trusted subject are with a model at once and `waiting` more wait, of a watched
    one a single one and none wait (see `Turnstile`).
    """

    subject: Ladder = field(default_factory=Ladder)
    tenant: Ladder = field(default_factory=_tenant)
    tenant_subjects: int = 5
    tenant_window: Period = "1h"
    fingerprint_subjects: int = 5
    fingerprint_window: Period = "7d"
    fingerprint_cost: int = 3
    abreast: int = 4
    waiting: int = 1024

    def __post_init__(self) -> None:
        """Refuse what cannot hold."""
        for name in ("tenant_subjects", "fingerprint_subjects"):
            # One would let a single subject move its tenant, or make a fingerprint known by sending it once.
            whole(f"Abuse({name}=", getattr(self, name), 2, _HIGHEST)
        whole("Abuse(fingerprint_cost=", self.fingerprint_cost, 1, _HIGHEST)
        whole("Abuse(abreast=", self.abreast, 1, 1_000_000)
        whole("Abuse(waiting=", self.waiting, 0, 1_000_000)
        milliseconds(self.tenant_window)
        milliseconds(self.fingerprint_window)

    def describe(self) -> dict[str, object]:
        """Return the settings as plain data."""
        plain = _plain(self, {"subject", "tenant"})
        return {"subject": self.subject.describe(), "tenant": self.tenant.describe(), **plain}


def milliseconds(period: Period) -> int:
    """Turn a period into whole milliseconds; ConfigError below one and above a year."""
    length = round(seconds(period) * 1000)
    if not 1 <= length <= 366 * 86_400_000:
        raise ConfigError(f"duration {period!r} must be from 1 ms to 366 days, such as '10m'")
    return length


def whole(named: str, value: object, least: int, most: int) -> None:
    """Refuse what is not a whole number from `least` to `most`; `named` begins the message."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ConfigError(f"{named}{value!r}): expected a whole number from {least} to {most}")


def _plain(data: Ladder | Abuse, without: set[str]) -> dict[str, object]:
    shown = {f.name for f in fields(data)} - without
    return {
        name: value if isinstance(value, int) else str(value)
        for name, value in asdict(data).items()
        if name in shown
    }
