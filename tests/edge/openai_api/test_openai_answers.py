"""Answers, chunks and errors without a socket: their shapes, and what becomes of a reader that leaves."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

import pytest
from pydantic_ai import Agent, DeferredToolRequests
from pydantic_ai.exceptions import RunTimedOut

from seawall.defense import Distrusted, GuardBlocked, Hardened, Policy, RateLimited, StreamInterrupted, harden
from seawall.defense.limits import RateLimit
from seawall.edge.http.problems import CATALOGUE, problem
from seawall.edge.openai import (
    ApprovalNeeded,
    BadRequest,
    Head,
    UnknownModel,
    chunks,
    completion,
    error_body,
    failure_of,
    of_problem,
    whole,
)
from seawall.foundation.transaction import Transaction
from tests.defense.streams import ALICE, ScriptedModel, Step, forever, text
from tests.edge.openai_api.chat_server import Rows

HEAD = Head("chatcmpl-1", "reader", 1_800_000_000)


class Colour(StrEnum):
    """An output that is a str by type, and JSON by nature."""

    RED = "red"


@dataclass(frozen=True)
class Given:
    """An answer as it is."""

    output: Any
    transaction: Transaction


def row(**fields: Any) -> Transaction:
    return Transaction("txn_1", "acme", "s-1", "reader", "primary", 0.0, 1.0, "ok", **fields)


def streamed(
    rows: Rows | None = None, *steps: Step, policy: Policy | None = None
) -> tuple[ScriptedModel, Hardened[None, str]]:
    model = ScriptedModel(steps)
    return model, harden(Agent(model, name="reader"), policy or Policy(), events=rows and rows.bus)


def opened(safe: Hardened[None, str]) -> AsyncGenerator[bytes]:
    return chunks(safe.run_stream("go", deps=None, principal=ALICE), HEAD, says_text=True)


def read(frame: bytes) -> dict[str, Any]:
    assert frame.startswith(b"data: ")
    assert frame.endswith(b"\n\n")
    assert frame.isascii()
    assert frame.count(b"\n") == 2
    return json.loads(frame[6:])


OUTPUTS: list[tuple[Any, str]] = [
    ("plain — text", "plain — text"),
    ("half a pair \ud83c", "half a pair ?"),
    (Colour.RED, '"red"'),
    ({"a": [1, None]}, '{"a":[1,null]}'),
    ([float("nan"), float("inf")], "[null,null]"),
    (Decimal("1.10"), '"1.10"'),
    (None, "null"),
    (True, "true"),
]


@pytest.mark.parametrize(("output", "content"), OUTPUTS)
def test_text_is_itself_and_all_else_is_json(output: Any, content: str) -> None:
    """The content of a completion is text, or JSON that every reader of JSON takes, and has UTF-8."""
    got = completion(Given(output, row()), HEAD)
    assert got["choices"][0]["message"]["content"] == content
    assert json.dumps(got, ensure_ascii=False, allow_nan=False).encode()


def test_what_an_answer_lacks_and_costs_is_told() -> None:
    """Degradation, missing parts, the row's id and a price without exponent stand beside the answer."""
    lesser = row(degradation="partial", missing=("search",), cost_usd=Decimal("1E-7"), input_tokens=3)
    got = completion(Given("x", lesser), HEAD)
    assert got["seawall"] == {
        "degradation": "partial",
        "missing": ["search"],
        "transaction": "txn_1",
        "cost_usd": "0.0000001",
        "ai_generated": True,
    }
    assert got["usage"] == {"prompt_tokens": 3, "completion_tokens": 0, "total_tokens": 3}


def test_a_pause_is_no_answer() -> None:
    """A run that waits for an approval is never told as a success."""
    with pytest.raises(ApprovalNeeded):
        completion(Given(DeferredToolRequests(), row()), HEAD)
    assert (failure_of(ApprovalNeeded()).status, failure_of(ApprovalNeeded()).body["error"]["code"]) == (
        409,
        "approval_needed",
    )


@pytest.mark.parametrize("include_usage", [True, False])
def test_an_answer_that_is_there_is_a_stream_of_one_piece(include_usage: bool) -> None:
    """Work that cannot stream gives the same events: who, what, why it ends, [DONE]."""
    frames = list(whole(Given({"a": "\u2028"}, row()), HEAD, include_usage=include_usage))
    assert frames.pop() == b"data: [DONE]\n\n"
    got = [read(frame) for frame in frames]
    assert len(got) == (4 if include_usage else 3)
    assert json.loads(got[1]["choices"][0]["delta"]["content"]) == {"a": "\u2028"}
    assert got[2]["choices"][0]["finish_reason"] == "stop"
    assert got[2]["seawall"]["transaction"] == "txn_1"
    assert [("usage" in one) for one in got] == [include_usage] * len(got)


async def test_until_the_first_sentence_errors_are_errors() -> None:
    """What goes wrong before anything is out is raised, so that a status can still say it."""
    _, safe = streamed(None, *text("One. "), policy=Policy(limits=[RateLimit(1, per="1h")]))
    assert [frame async for frame in opened(safe)][-1] == b"data: [DONE]\n\n"
    frames = opened(safe)
    with pytest.raises(RateLimited):
        await anext(frames)


async def test_a_reader_that_leaves_ends_the_run_as_cancelled() -> None:
    """Closing the generator half-way gives the model's stream back, writes one row and leaves no task."""
    rows = Rows()
    model, safe = streamed(rows, *text("One. ", "Two. ", "Three."))
    before = asyncio.all_tasks()
    frames = opened(safe)
    await anext(frames)
    assert read(await anext(frames))["choices"][0]["delta"] == {"content": "One. "}
    await frames.aclose()
    assert (model.entered, model.left) == (1, 1)
    assert [(one.outcome, one.detail) for one in rows.rows] == [("cancelled", "StreamAbandoned")]
    # Pydantic AI leaves its own generators to the loop, which closes them when it turns next.
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_a_reader_that_is_cancelled_ends_the_run() -> None:
    """Cancelled while it waits for a model that hangs, everything is given back."""
    rows = Rows()
    model, safe = streamed(rows, *text("One. ", "Two. "), forever)

    async def run() -> None:
        async for _ in opened(safe):
            pass

    task = asyncio.create_task(run())
    await model.waiting.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert (model.entered, model.left) == (1, 1)
    assert [one.outcome for one in rows.rows] == ["cancelled"]


async def test_past_its_deadline_a_stream_says_so_and_has_no_end() -> None:
    """An error after the first sentence is the last event; no finish reason and no [DONE] come."""
    _, safe = streamed(None, *text("One. ", "Two. "), forever, policy=Policy(deadline="200ms"))
    got = [read(frame) async for frame in opened(safe)]
    assert got[-1]["error"]["code"] == "timed_out"
    assert got[-1]["error"]["type"] == "server_error"
    assert all(one["choices"][0]["finish_reason"] is None for one in got[:-1])


FAILURES: list[tuple[BaseException, int, str, str]] = [
    (BadRequest("n: no", "n"), 400, "invalid_request_error", "unsupported_value"),
    (UnknownModel(), 404, "invalid_request_error", "model_not_found"),
    (GuardBlocked(), 422, "invalid_request_error", "content_filter"),
    (Distrusted(3.0), 429, "rate_limit_exceeded", "distrusted"),
    (StreamInterrupted("resume", 2, 1.5), 503, "server_error", "interrupted"),
    (RunTimedOut("secret"), 504, "server_error", "timed_out"),
    (ValueError("secret"), 500, "server_error", "failed"),
    (ExceptionGroup("secret", [ValueError("secret")]), 500, "server_error", "failed"),
]


@pytest.mark.parametrize(("error", "status", "kind", "code"), FAILURES)
def test_an_error_has_a_status_a_type_and_a_code(
    error: BaseException, status: int, kind: str, code: str
) -> None:
    """The shape is OpenAI's; nothing of an error that is not ours gets out."""
    failure = failure_of(error)
    told = failure.body["error"]
    assert (failure.status, told["type"], told["code"]) == (status, kind, code)
    assert {"message", "type", "param", "code"} <= told.keys()
    assert "secret" not in told["message"]
    assert told.get("retry_after") == getattr(error, "retry_after", None)


def test_what_the_gate_refuses_keeps_its_meaning() -> None:
    """Problem details of every kind become an error of the type that belongs to their status, told in OpenAI's words where it has them."""
    for kind in CATALOGUE.values():
        told = of_problem(problem(kind.code, "why", retry_after=2.0))["error"]
        assert told["message"] == "why"
        assert told["retry_after"] == 2.0
        assert told["type"] == error_body(kind.status, "x", "")["error"]["type"]
        assert "-" not in told["code"]
    assert of_problem(problem("unauthenticated"))["error"] == {
        "message": "The caller is not known",
        "type": "authentication_error",
        "param": None,
        "code": "invalid_api_key",
    }
    assert of_problem({})["error"]["type"] == "server_error"
