"""A model provider on a real socket of this machine: answers as told, and fails as real ones do."""

import json
import select
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self, cast

from seawall.testing.sse import Split, in_fours, stream_events

Reply = Callable[[dict[str, Any]], Mapping[str, Any]]
Mode = Literal["answer", "error", "rate limited", "hang", "garbage", "empty", "cut", "stall"]

_MOST_BYTES = 64_000_000
# How often a stream that stalls looks whether its caller is still there.
_GLANCE_SECONDS = 0.02


class _Server(ThreadingHTTPServer):
    # As many as may turn to it at once when another one fails; with the usual five, connections wait for a second.
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of callers that went away."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class MockProvider:
    """An OpenAI-compatible chat endpoint on a free loopback port, open while the context is.

    `reply` turns the JSON of a request into the JSON of a response (see `call_output_tool`), in a thread of its own
    for each request. `mode` may be changed at any time: `answer` calls `reply`, `error` is status 500, `rate limited`
    is 429 with `Retry-After: retry_after` seconds, `hang` answers nothing until the context is left, `garbage` is 200
    with a body that is no JSON, `empty` is 200 without a body. Every request's JSON is kept, whatever it came to.

    A request with `"stream": true` is answered in server-sent events, the text and tool arguments of `reply` cut
    into pieces by `split`. Two modes are of such streams only: `cut` breaks the connection off half-way through
    the pieces, `stall` says nothing more from there on. `deserted` is set once a caller has left a stalled one.

    >>> with MockProvider(lambda request: call_output_tool(request, {"ok": True})) as provider:
    ...     provider.url.startswith("http://127.0.0.1:")
    True
    """

    def __init__(
        self, reply: Reply, *, mode: Mode = "answer", retry_after: int = 1, split: Split = in_fours
    ) -> None:
        self.mode: Mode = mode
        self.retry_after = retry_after
        self.deserted = threading.Event()
        self._reply = reply
        self._split = split
        self._requests: list[dict[str, Any]] = []
        self._left = threading.Event()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Base URL, as `OPENAI_BASE_URL` has it; RuntimeError outside the context."""
        if self._server is None:
            raise RuntimeError("the provider is not open; use it as `with MockProvider(...) as provider:`")
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def requests(self) -> tuple[dict[str, Any], ...]:
        """The JSON of every request so far, in order of arrival."""
        return tuple(self._requests)

    def __enter__(self) -> Self:
        """Listen."""
        provider = self

        class Endpoint(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                provider._answer(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class's name
                """Say nothing: requests hold what a test must not print."""

        self._server = _Server(("127.0.0.1", 0), Endpoint)
        self._server.daemon_threads = True
        # Threads that hang are let go by `_left`; waiting for idle keep-alive connections would take for ever.
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let hanging requests go and close the port."""
        self._left.set()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = None

    def _answer(self, call: BaseHTTPRequestHandler) -> None:
        try:
            size = min(int(call.headers.get("Content-Length", "0")), _MOST_BYTES)
            request = cast("dict[str, Any]", json.loads(call.rfile.read(size)))
            self._requests.append(request)
            if request.get("stream") and self.mode in {"answer", "cut", "stall"}:
                self._stream(call, request)
                return
            status, headers, body = self._response(request)
            call.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                call.send_header(name, value)
            call.send_header("Content-Length", str(len(body)))
            call.end_headers()
            call.wfile.write(body)
        except ConnectionError:
            # The caller gave up, as callers of a provider that hangs do, or before a stream had come to its stall.
            call.close_connection = True
            if self.mode == "stall":
                self.deserted.set()

    def _stream(self, call: BaseHTTPRequestHandler, request: dict[str, Any]) -> None:
        options = cast("dict[str, Any]", request.get("stream_options") or {})
        completion = self._reply(request)
        events = stream_events(completion, self._split, with_usage=bool(options.get("include_usage")))
        call.send_response(200)
        call.send_header("Content-Type", "text/event-stream")
        call.send_header("Transfer-Encoding", "chunked")
        call.end_headers()
        mode = self.mode
        for event in events if mode == "answer" else events[: len(events) // 2]:
            call.wfile.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
        if mode == "answer":
            call.wfile.write(b"0\r\n\r\n")
            return
        call.close_connection = True
        while mode == "stall" and not self._left.wait(_GLANCE_SECONDS):
            # A caller that has closed its end makes the socket readable, with nothing to read.
            if select.select([call.connection], [], [], 0)[0]:
                self.deserted.set()
                return

    def _response(self, request: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        match self.mode:
            case "answer" | "cut" | "stall":
                return 200, {}, json.dumps(self._reply(request)).encode()
            case "error":
                return 500, {}, b'{"error": {"message": "scripted failure", "type": "server_error"}}'
            case "rate limited":
                body = b'{"error": {"message": "scripted limit", "type": "rate_limit_exceeded"}}'
                return 429, {"Retry-After": str(self.retry_after)}, body
            case "hang":
                self._left.wait()
                raise ConnectionAbortedError
            case "garbage":
                return 200, {}, b"<html>\xff\xfe not JSON"
            case "empty":
                return 200, {}, b""


def call_output_tool(
    request: Mapping[str, Any],
    arguments: Mapping[str, Any],
    *,
    prompt_tokens: int = 1000,
    completion_tokens: int = 100,
) -> dict[str, Any]:
    """Write a chat completion that calls the first tool the request offers, as a typed agent's model does."""
    tools = cast("list[dict[str, Any]]", request["tools"])
    call = {
        "id": "call-1",
        "type": "function",
        "function": {"name": tools[0]["function"]["name"], "arguments": json.dumps(arguments)},
    }
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return _completion(request, message, "tool_calls", prompt_tokens, completion_tokens)


def say(
    request: Mapping[str, Any], text: str, *, prompt_tokens: int = 1000, completion_tokens: int = 100
) -> dict[str, Any]:
    """Write a chat completion that answers with text."""
    message = {"role": "assistant", "content": text}
    return _completion(request, message, "stop", prompt_tokens, completion_tokens)


def _completion(
    request: Mapping[str, Any],
    message: dict[str, Any],
    finish_reason: str,
    prompt_tokens: int,
    completion_tokens: int,
) -> dict[str, Any]:
    return {
        "id": "completion-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": request["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }
