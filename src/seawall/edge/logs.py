"""Logs that say what failed and where, and never what about: an exception's words may quote what somebody was told."""

import asyncio
import logging
import traceback
from pathlib import Path
from typing import Any

_FRAMES = 6
_log = logging.getLogger("seawall.service")


def told(error: BaseException) -> str:
    """Return the types of an error and its causes, each with the last lines of code that it came through."""
    parts: list[str] = []
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        frames = traceback.extract_tb(one.__traceback__)[-_FRAMES:]
        way = " > ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
        parts.append(f"{type(one).__name__} at {way or 'no frame'}")
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    return "; from ".join(parts)


class WordlessFormatter(logging.Formatter):
    """Writes exceptions as `told` has them."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatException(self, ei: Any) -> str:  # noqa: N802  the name is logging's
        """Leave the words out."""
        return told(ei[1]) if ei[1] is not None else ""


def log_to_stderr(level: int = logging.WARNING) -> None:
    """Have this process write all its logs so, uvicorn's and asyncio's included."""
    handler = logging.StreamHandler()
    handler.setFormatter(WordlessFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True


def note_lost_errors(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what asyncio found nobody to tell, without its own message, which quotes the error."""
    del loop
    error = context.get("exception")
    what = "something was lost" if error is None else told(error)
    _log.error("in the background: %s", what)
