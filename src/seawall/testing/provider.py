"""A model provider on a real socket of this machine: answers as told, and fails as real ones do."""

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, Self, cast

Reply = Callable[[dict[str, Any]], Mapping[str, Any]]
Mode = Literal["answer", "error", "rate limited", "hang", "garbage", "empty"]

_MOST_BYTES = 64_000_000


class MockProvider:
    """An OpenAI-compatible chat endpoint on a free loopback port, open while the context is.

    `reply` turns the JSON of a request into the JSON of a response (see `call_output_tool`), in a thread of its own
    for each request. `mode` may be changed at any time: `answer` calls `reply`, `error` is status 500, `rate limited`
    is 429 with `Retry-After: retry_after` seconds, `hang` answers nothing until the context is left, `garbage` is 200
    with a body that is no JSON, `empty` is 200 without a body. Every request's JSON is kept, whatever it came to.

    >>> with MockProvider(lambda request: call_output_tool(request, {"ok": True})) as provider:
    ...     provider.url.startswith("http://127.0.0.1:")
    True
    """

    def __init__(self, reply: Reply, *, mode: Mode = "answer", retry_after: int = 1) -> None:
        self.mode: Mode = mode
        self.retry_after = retry_after
        self._reply = reply
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

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
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
            status, headers, body = self._response(request)
            call.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                call.send_header(name, value)
            call.send_header("Content-Length", str(len(body)))
            call.end_headers()
            call.wfile.write(body)
        except ConnectionError:
            # The caller gave up, as callers of a provider that hangs do.
            call.close_connection = True

    def _response(self, request: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        match self.mode:
            case "answer":
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
    return {
        "id": "completion-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": request["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }
