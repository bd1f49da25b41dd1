"""The record of processing activities, from the configuration that runs.

Source: GDPR, Article 30(1)(a) to (g).
"""

from collections.abc import Sequence
from typing import Any

from pydantic_ai.models import Model

from seawall.defense.policy import Policy
from seawall.defense.profiles import HERE
from seawall.edge.app import Added, Seawall
from seawall.edge.settings import Settings
from seawall.foundation.compliance.retention import CLASSES, DataClass

MISSING = "to be said in [controller] of seawall.toml"

_WHAT = {
    "content": "what runs are given, say and come to",
    "replies": "answers kept for a retry",
    "ledger": "a row a transaction: pseudonym, model, tokens, cost, times, outcome",
    "audit": "decisions: pseudonym, what was decided, by which version",
}


def record(app: Seawall, settings: Settings) -> dict[str, Any]:
    """Return the record as data; what the configuration does not know is named in `missing`."""
    controller = settings.controller
    agents = [_agent(name, added) for name, added in app.agents.items()]
    agents += [
        _described(name, offered.description, [], offered.policy) for name, offered in app.offers.items()
    ]
    purposes = [*controller.purposes] or [
        f"{one['name']}: {one['description']}" for one in agents if one["description"]
    ]
    needed = {
        "name and contact of the controller": controller.name and controller.contact,
        "purposes": purposes,
        "categories of people": controller.people,
    }
    return {
        "controller": controller.model_dump(
            include={"name", "contact", "representative", "data_protection_officer"}
        ),
        "profile": settings.profile,
        "purposes": purposes,
        "people": ["callers of the service", *controller.people],
        "data": [f"{name}: {_WHAT[name]}" for name in CLASSES],
        "agents": agents,
        "recipients": sorted({*controller.recipients, *_recipients(app)}),
        "transfers": sorted(
            {text for added in app.agents.values() for text in added.policy.processors.values()}
        ),
        "time_limits": _limits(settings),
        "security_measures": _measures(app, settings, agents),
        "missing": [f"{what}: {MISSING}" for what, said in needed.items() if not said],
    }


def as_markdown(told: dict[str, Any]) -> str:
    """Return the record as a page."""
    controller = told["controller"]
    lines = ["# Record of processing activities (GDPR, Article 30(1))", ""]
    for title, said in (
        ("(a) Controller", [f"{name}: {value or '—'}" for name, value in controller.items()]),
        ("(b) Purposes", told["purposes"]),
        ("(c) People and data", [*told["people"], *told["data"]]),
        ("(d) Recipients", told["recipients"]),
        ("(e) Transfers and agreements, as the policies name them", told["transfers"]),
        (
            "(f) Time limits",
            [f"{one['class']} of {one['tenant']}: {one['kept']}" for one in told["time_limits"]],
        ),
        ("(g) Security measures", told["security_measures"]),
        ("Missing", told["missing"]),
    ):
        lines += [f"## {title}", "", *(f"- {one}" for one in said or ["none"]), ""]
    return "\n".join(lines)


def _agent(name: str, added: Added) -> dict[str, Any]:
    description = added.description or str(added.agent.description or "")
    return _described(name, description, _models(added), added.policy)


def _described(name: str, description: str, models: Sequence[str], policy: Policy | None) -> dict[str, Any]:
    return {
        "name": name,
        "description": description,
        "models": [*models],
        "guards": [] if policy is None else [guard.name for guard in policy.guards],
        "pseudonyms": policy is not None and policy.pseudonymises,
        "policy": "" if policy is None else policy.version,
    }


def _models(added: Added) -> list[str]:
    model: Any = added.agent.model
    named: Sequence[Any] = [model, *(getattr(one, "model", one) for one in added.policy.fallbacks)]
    return [_model(one) for one in named if one is not None]


def _model(model: Model | str) -> str:
    return model if isinstance(model, str) else f"{model.system}:{model.model_name}"


def _recipients(app: Seawall) -> set[str]:
    named = {model.partition(":")[0] for added in app.agents.values() for model in _models(added)}
    agreed = {name for added in app.agents.values() for name in added.policy.processors}
    return {f"provider of models: {name}" for name in (named | agreed) - HERE}


def _limits(settings: Settings) -> list[dict[str, str]]:
    kept = settings.retention
    rows = [{"tenant": "everybody", "class": name, "kept": kept.of(name, "")} for name in CLASSES]
    own: list[tuple[str, DataClass]] = [
        (tenant, name) for tenant, told in kept.tenants.items() for name in told
    ]
    return rows + [{"tenant": tenant, "class": name, "kept": kept.of(name, tenant)} for tenant, name in own]


def _measures(app: Seawall, settings: Settings, agents: Sequence[dict[str, Any]]) -> list[str]:
    pseudonyms = [one["name"] for one in agents if one["pseudonyms"]]
    guards = sorted({guard for one in agents for guard in one["guards"]})
    return [
        "content encrypted (AES-256-GCM) under a key of each person, wrapped by one of the tenant, wrapped by the master key",
        "callers as keyed pseudonyms (HMAC-SHA-256, for each tenant) in ledger, audit log, metrics and logs",
        f"personal data replaced before a model reads it: {', '.join(pseudonyms) or 'by no agent'}",
        f"guards: {', '.join(guards) or 'none'}",
        "API keys kept as digests, revoked within a second"
        + ("; tokens of an identity provider" if settings.jwt else ""),
        f"limits for each caller: {', '.join(limit.name for limit in app.limits) or 'none'}",
        "audit log in signed chains" + (", on disk before an answer goes out" if settings.audit.sync else ""),
        "erasure with a signed receipt; break-glass access with a reason, for a time, told at once",
    ]
