"""Clients of providers make each request once, and are not copied for every one of them."""

from openai import AsyncOpenAI
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.providers.openai import OpenAIProvider

from seawall.defense.client_retries import settings_without_retries, without_client_retries


def test_the_hardened_model_has_a_client_of_its_own() -> None:
    """It shares the connections and the address, retries nothing, and leaves the owner's client as it was."""
    client = AsyncOpenAI(api_key="k", base_url="http://localhost:1/v1")
    model = OpenAIChatModel("m", provider=OpenAIProvider(openai_client=client))
    own = without_client_retries(model)
    assert isinstance(own, OpenAIChatModel)
    assert (own.client.max_retries, own.client._client, own.base_url) == (0, client._client, model.base_url)
    assert (model.client, client.max_retries) == (client, 2)
    assert settings_without_retries(own, None) == {}
    assert settings_without_retries(own, {"max_retries": 3, "timeout": 1}) == {"max_retries": 0, "timeout": 1}


def test_a_client_that_cannot_be_exchanged_is_told_with_every_request() -> None:
    """Nothing is lost where a model hides its client, or has none."""
    hidden = WrapperModel(OpenAIChatModel("m", provider=OpenAIProvider(api_key="k")))
    for model in (TestModel(), hidden):
        assert without_client_retries(model) is model
        assert settings_without_retries(model, {"timeout": 1}) == {"timeout": 1, "max_retries": 0}
