"""No retries in a provider's own client: they would multiply those above, and no breaker would count them."""

from copy import copy
from typing import Any

from pydantic_ai.models import Model
from pydantic_ai.settings import ModelSettings, merge_model_settings


def without_client_retries(model: Model) -> Model:
    """Return the model with a client that makes each request once; the model itself stays as it is.

    Told so request by request, a client is copied for each, at half a millisecond. A model whose client cannot be
    exchanged comes back unchanged: `settings_without_retries` then says it with every request.
    """
    client: Any = getattr(model, "client", None)
    provider: Any = getattr(model, "_provider", None)
    copyable = hasattr(client, "with_options") and not hasattr(client, "aws_profile")
    if not copyable or getattr(provider, "_client", None) is not client:
        return model
    own_provider, own_model = copy(provider), copy(model)
    own_provider._client = client.with_options(max_retries=0, http_client=client._client)  # noqa: SLF001
    own_model._provider = own_provider  # pyright: ignore[reportAttributeAccessIssue]  # noqa: SLF001
    return own_model if _retries_of(own_model) == 0 else model


def settings_without_retries(model: Model, settings: ModelSettings | None) -> ModelSettings:
    """Return the settings for one request of a model from `without_client_retries`."""
    if _retries_of(model) == 0 and (settings is None or "max_retries" not in settings):
        return settings or ModelSettings()
    return merge_model_settings(settings, ModelSettings(max_retries=0)) or ModelSettings()


def _retries_of(model: Model) -> Any:
    return getattr(getattr(model, "client", None), "max_retries", None)
