"""Profiles: what a law asks of this part is switched on, and what contradicts it is refused with the reason."""

from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel

from seawall import Chaos, ConfigError, Fault, Guarded, Policy, Principal, Seawall, guards, harden
from seawall.defense.guards import Pseudonymise
from seawall.edge.opening import open_site
from seawall.edge.settings import check_settings, read_settings
from seawall.foundation.compliance.keyring import Keyring


class Elsewhere(TestModel):
    """A model that says it is a provider's."""

    @property
    def system(self) -> str:
        """Return a provider."""
        return "openai"


@pytest.mark.parametrize(("profile", "thorough"), [("gdpr", False), ("hipaa", True)])
def test_pseudonyms_are_switched_on(profile: Any, thorough: bool) -> None:
    """A policy that asks for none has them, as searching as the law needs, once."""
    for given in ([], [guards.pseudonymise()], [guards.injection(), guards.pseudonymise()]):
        policy = Policy(profile=profile, guards=given)
        (found,) = [guard for guard in policy.guards if isinstance(guard, Pseudonymise)]
        assert found.thorough == thorough
    assert policy.describe()["profile"] == profile
    assert Policy(profile="gdpr", guards=[guards.pseudonymise(thorough=True)]).finder is not None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"guards": [Guarded(guards.injection(), on_failure="open")]}, "lets text pass when it fails"),
        ({"retention": "400d"}, "more than 365d"),
        ({"stale_if_error": "40d"}, "longer than retention"),
        ({"chaos": Chaos([Fault("error", 1.0, "model *")])}, "chaos"),
        ({"profile": "pci"}, "none of gdpr, hipaa"),
    ],
)
def test_what_contradicts_is_refused(given: dict[str, Any], said: str) -> None:
    """With the setting that is wrong."""
    with pytest.raises(ConfigError, match=said):
        told: dict[str, Any] = {"profile": "gdpr", **given}
        Policy(**told)


async def test_a_provider_needs_an_agreement() -> None:
    """A model elsewhere is refused until an agreement is named; one in this process needs none."""
    agent = Agent(Elsewhere(), name="clerk")
    with pytest.raises(ConfigError, match="no agreement is named with openai"):
        harden(agent, Policy(profile="hipaa"))
    harden(agent, Policy(profile="hipaa", processors={"openai": "BAA of 2026-03-01"}))
    here = harden(Agent(TestModel(custom_output_text="Yes."), name="clerk"), Policy(profile="hipaa"))
    assert (await here.run("Who?", deps=None, principal=Principal("acme", "zoe"))).output == "Yes."


async def test_under_hipaa_the_model_reads_no_names() -> None:
    """A name without a cue, a date and a phone number are tokens on their way to the model, and words in the answer."""
    seen: list[str] = []

    def listens(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        seen.append(str(messages))
        return ModelResponse(parts=[TextPart("Noted.")])

    agent = Agent(FunctionModel(listens), name="clerk")
    hardened = harden(agent, Policy(profile="hipaa"), keyring=Keyring.ephemeral())
    said = "Maria Gonzales was admitted on March 3, 2026; call 202-555-0143."
    await hardened.run(said, deps=None, principal=Principal("acme", "zoe"))
    assert not [word for word in ("Gonzales", "March 3", "202-555-0143") if word in seen[0]]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"profile": "gdpr", "redis_url": "redis://cache.internal:6379/0"}, "plain text"),
        ({"profile": "hipaa", "database_url": "postgresql://db.internal/s?sslmode=require"}, "plain text"),
        ({"profile": "hipaa", "retention": {"audit": "400d"}}, "six years"),
        ({"profile": "hipaa", "retention": {"tenants": {"acme": {"audit": "183d"}}}}, "six years"),
    ],
)
def test_settings_that_contradict_are_refused(given: dict[str, Any], said: str) -> None:
    """What goes over a network goes encrypted, and documentation is kept as long as the law says."""
    with pytest.raises(ConfigError, match=said):
        check_settings(read_settings(Path("/dev/null"), **given))


def test_settings_that_go_with_it_hold() -> None:
    """On this machine, or encrypted; and HIPAA's time is the default under it."""
    for url in ("redis://localhost:6379/0", "rediss://cache.internal:6379/0"):
        check_settings(read_settings(Path("/dev/null"), profile="gdpr", redis_url=url))
    settings = read_settings(Path("/dev/null"), profile="hipaa")
    check_settings(settings)
    assert settings.retention.of("audit", "acme") == "2192d"
    assert read_settings(Path("/dev/null")).retention.of("audit", "acme") == "183d"


async def test_every_agent_of_a_service_is_under_its_profile(tmp_path: Path) -> None:
    """One policy without it, and the service does not start."""
    app = Seawall()
    app.add(Agent(TestModel(), name="clerk"), Policy(profile="gdpr"))
    app.add(Agent(TestModel(), name="stray"), Policy())
    settings = read_settings(Path("/dev/null"), state=tmp_path, profile="gdpr")
    with pytest.raises(ConfigError, match="stray"):
        async with open_site(app, settings, Keyring.ephemeral()):
            pass
