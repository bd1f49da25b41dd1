"""The protocol of OpenAI's chat completions, translated: requests to what an agent is asked, answers and errors back.

Nothing here asks an agent or knows of HTTP. What is not translated is refused by name.
"""

from seawall.edge.openai.answers import Answered, Head, completion, model_card, model_list
from seawall.edge.openai.chunks import chunks, error_event, whole
from seawall.edge.openai.errors import (
    ApprovalNeeded,
    BadRequest,
    Failure,
    UnknownModel,
    error_body,
    failure_of,
    of_problem,
)
from seawall.edge.openai.requests import Ask, ChatRequest, read_request, to_ask

__all__ = [
    "Answered",
    "ApprovalNeeded",
    "Ask",
    "BadRequest",
    "ChatRequest",
    "Failure",
    "Head",
    "UnknownModel",
    "chunks",
    "completion",
    "error_body",
    "error_event",
    "failure_of",
    "model_card",
    "model_list",
    "of_problem",
    "read_request",
    "to_ask",
    "whole",
]
