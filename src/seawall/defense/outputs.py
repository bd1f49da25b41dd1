"""What an agent may answer with."""

from collections.abc import Sequence
from typing import Any, cast, get_args

from pydantic_ai.tools import DeferredToolRequests


def may_defer(output_type: Any) -> bool:
    """Say whether `DeferredToolRequests` is among an agent's outputs: its caller then decides on calls that wait."""
    if output_type is DeferredToolRequests:
        return True
    if isinstance(output_type, Sequence) and not isinstance(output_type, str):
        return any(may_defer(one) for one in cast("Sequence[Any]", output_type))
    return any(may_defer(one) for one in get_args(output_type))
