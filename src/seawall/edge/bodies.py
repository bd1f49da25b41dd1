"""From the bytes of a body to what they mean, with errors that say where they do not."""

import re
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from seawall.edge.refusals import Unreadable

T = TypeVar("T", bound=BaseModel)

_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json\s*(?:;.*)?", re.IGNORECASE)
_MOST_MISTAKES = 16


async def read_json(request: Request, shape: type[T]) -> T:
    """Read a body, and as `shape`; Unreadable with the JSON pointers of what does not fit."""
    kind = request.headers.get("content-type", "application/json")
    if not _JSON.fullmatch(kind):
        raise Unreadable("unsupported-media-type", "expected Content-Type: application/json")
    return parsed(await request.body(), shape)


def parsed(body: bytes, shape: type[T]) -> T:
    """Return a body as `shape`."""
    try:
        return shape.model_validate_json(body)
    except ValidationError as error:
        mistakes = error.errors(include_url=False, include_context=False, include_input=False)[
            :_MOST_MISTAKES
        ]
        if mistakes[0]["type"] == "json_invalid":
            # Its text can quote the body.
            raise Unreadable("bad-request", "the body is no JSON") from None
        raise Unreadable(
            "invalid",
            f"{error.error_count()} mistakes in the body",
            [{"pointer": _pointer(one["loc"]), "detail": one["msg"]} for one in mistakes],
        ) from None


def _pointer(path: tuple[int | str, ...]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
