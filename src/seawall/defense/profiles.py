"""What a policy has to have where a law is to be kept: defaults that are switched on, and settings that are refused.

A profile makes no system lawful: it sees that what the mechanisms here can do is on, and that nothing contradicts it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic_ai.models import Model

from seawall.defense.guards import Pseudonymise, pseudonymise
from seawall.defense.pipeline import Guarded
from seawall.foundation.errors import ConfigError
from seawall.foundation.units import Period, seconds

ProfileName = Literal["gdpr", "hipaa"]
# Models that run in this process: what they read is given to nobody.
HERE = frozenset({"function", "test", "local", "seawall"})
_LONGEST = "365d"


@dataclass(frozen=True, slots=True)
class Profile:
    """One law's demands. `agreement` is what it calls the contract with whoever processes data for us."""

    name: ProfileName
    law: str
    agreement: str
    thorough: bool


PROFILES: Mapping[str, Profile] = {
    "gdpr": Profile(
        "gdpr", "Regulation (EU) 2016/679", "a data processing agreement (Article 28(3))", thorough=False
    ),
    "hipaa": Profile(
        "hipaa", "45 CFR Parts 160 and 164", "a business associate agreement (164.504(e))", thorough=True
    ),
}


def profile_of(name: str) -> Profile:
    """Return a profile; ConfigError for another name."""
    found = PROFILES.get(name)
    if found is None:
        raise ConfigError(
            f"profile {name!r} is none of {', '.join(PROFILES)}; leave it out where none is wanted"
        )
    return found


def guards_under(profile: Profile, guards: Sequence[Any]) -> tuple[Any, ...]:
    """Return the guards with pseudonyms among them, as searching as the profile asks for."""
    kept = [guard for guard in guards if not isinstance(guard, Pseudonymise)]
    thorough = profile.thorough or any(isinstance(one, Pseudonymise) and one.thorough for one in guards)
    return (*kept, pseudonymise(thorough=thorough))


def check(
    profile: Profile, guards: Sequence[Any], *, retention: Period, stale: Period | None, chaos: bool
) -> None:
    """Refuse, naming all of it at once, what contradicts a profile."""
    wrong = [
        f"guard {guard.name!r} lets text pass when it fails (on_failure='open')"
        for guard in guards
        if isinstance(guard, Guarded) and guard.on_failure == "open"
    ]
    if seconds(retention) > seconds(_LONGEST):
        wrong.append(f"retention={retention!r} keeps rows of people for more than {_LONGEST}")
    if stale is not None and seconds(stale) > seconds(retention):
        wrong.append(f"stale_if_error={stale!r} keeps answers for longer than retention={retention!r}")
    if chaos:
        wrong.append("chaos injects faults into what people rely on")
    if wrong:
        raise ConfigError(f"profile {profile.name!r} is contradicted: {'; '.join(wrong)}")


def check_models(profile: Profile, models: Sequence[Model], processors: Mapping[str, str]) -> None:
    """Refuse a model of a provider with whom no agreement is named."""
    unnamed = sorted({model.system for model in models} - HERE - set(processors))
    if unnamed:
        raise ConfigError(
            f"profile {profile.name!r}: no agreement is named with {', '.join(unnamed)}, whose models would read people's "
            f"data; say which holds, as in processors={{{unnamed[0]!r}: 'DPA of 2026-03-01'}}: it takes {profile.agreement}"
        )
