"""The most that a model request can use, known before it is made."""

import json
from collections.abc import Sequence
from decimal import Decimal

from genai_prices import Usage, calc_price
from pydantic_ai.messages import ModelMessage, ModelRequestPart, ModelResponse, ModelResponsePart
from pydantic_ai.models import Model, ModelRequestParameters

from seawall.defense.limits import Budget, Limit, Spend
from seawall.foundation.errors import ConfigError

# Tokenisers of today's models take three bytes and more for a token of text, two in the worst scripts.
_BYTES_PER_TOKEN = 2
_FRAMING = 64
_PART = 16


def check_possible(limits: Sequence[Limit | Budget], most_output: int, models: Sequence[Model]) -> None:
    """Refuse at once what would refuse every request: tokens for less than one answer, dollars without a price."""
    for limit in limits:
        if limit.of == "tokens" and _most(limit) <= most_output:
            raise ConfigError(
                f"limit {limit.name!r} allows {_most(limit)} tokens at once, and an answer may take {most_output}: raise "
                "its burst, or lower the agent's max_tokens or the policy's most_output_tokens"
            )
    if any(limit.of == "usd" for limit in limits):
        price(models, 1, 1)


def _most(limit: Limit | Budget) -> int:
    return limit.units if isinstance(limit, Budget) else limit.quota.most


def most_tokens(
    messages: Sequence[ModelMessage], parameters: ModelRequestParameters, most_output: int
) -> tuple[int, int]:
    """Return the most input and output tokens: a token for every two bytes sent, and the output that is allowed."""
    sent = sum(_size(part) for message in messages for part in message.parts)
    for tool in (*parameters.function_tools, *parameters.output_tools):
        sent += len(tool.name) + len(tool.description or "") + len(json.dumps(tool.parameters_json_schema))
    sent += sum(len(part.content.encode()) for part in parameters.instruction_parts or ())
    return sent // _BYTES_PER_TOKEN + _FRAMING, most_output


def price(models: Sequence[Model], input_tokens: int, output_tokens: int) -> Decimal:
    """Return what the dearest of the models charges; ConfigError where one has no known price."""
    return max(_price(model, input_tokens, output_tokens) for model in models)


def used(response: ModelResponse, *, priced: bool) -> Spend:
    """Return what a response used; dollars only where they count, None known as nothing is not nothing."""
    usd = response.cost().total_price if priced else Decimal(0)
    return Spend(requests=0, tokens=response.usage.input_tokens + response.usage.output_tokens, usd=usd)


def _size(part: ModelRequestPart | ModelResponsePart) -> int:
    """Return the bytes of what a part says; the names of its fields are left to the framing."""
    said = [getattr(part, name, None) for name in ("content", "args", "tool_name")]
    texts = (
        one if isinstance(one, str) else json.dumps(one, ensure_ascii=False, default=str)
        for one in said
        if one
    )
    return _PART + sum(len(text.encode(errors="surrogatepass")) for text in texts)


def _price(model: Model, input_tokens: int, output_tokens: int) -> Decimal:
    usage = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
    try:
        return calc_price(usage, model.model_name, provider_id=model.system).total_price
    except LookupError:
        raise ConfigError(
            f"a limit in dollars needs a price, and none is known for model {model.model_name!r}; limit its tokens instead"
        ) from None
