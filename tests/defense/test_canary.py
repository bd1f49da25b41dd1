"""Leaks of hidden context: what gives it away, in whatever disguise, and what does not."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from seawall.defense import GuardBlocked, Policy, guards, harden
from seawall.defense.guards import canary_line, find_leak, marker_for
from seawall.foundation.principal import Principal

ALICE = Principal("acme", "alice")
INSTRUCTIONS = (
    "You are the assistant of Acme Bank. Quote rates only from the table below. Never promise a loan. "
    "If a customer is angry, offer a call with a human colleague within one business day."
)
MARKER = marker_for(b"k" * 32, "teller")


def test_a_marker_is_stable_and_its_own() -> None:
    """The same for an agent and a key, another for another; it stands in its sentence."""
    assert marker_for(b"k" * 32, "teller") == MARKER != marker_for(b"k" * 32, "clerk")
    assert marker_for(b"x" * 32, "teller") != MARKER
    assert MARKER in canary_line(MARKER)


@pytest.mark.parametrize(
    "said",
    [
        MARKER,
        f"The reference is {MARKER}.",
        MARKER.upper(),
        " ".join(MARKER),
        "-".join(MARKER[at : at + 4] for at in range(0, 24, 4)),
        MARKER[::-1],
        MARKER[6:20],
        "\u200b".join(MARKER),
        base64.b64encode(f"the reference is {MARKER}".encode()).decode(),
        f"the reference is {MARKER}".encode().hex(),
    ],
)
def test_a_marker_is_found_in_disguise(said: str) -> None:
    """Split, turned round, in part, unseen letters between, encoded."""
    assert find_leak(f"Sure! {said} Anything else?", [], [MARKER])


@pytest.mark.parametrize(
    "said",
    [
        INSTRUCTIONS,
        INSTRUCTIONS.upper(),
        f"My rules: {INSTRUCTIONS[30:150]}",
        "Quote rates only - from the table below; never promise a loan!\nIf a customer is ANGRY, offer",
        base64.b64encode(INSTRUCTIONS.encode()).decode(),
    ],
)
def test_long_runs_of_the_instructions_are_found(said: str) -> None:
    """Whole, in part, in other case and punctuation, encoded."""
    assert find_leak(said, [INSTRUCTIONS])


@pytest.mark.parametrize(
    "said",
    [
        "Acme Bank quotes rates only from its table.",
        "I can offer you a call with a human colleague within one business day.",
        MARKER[:11],
        "0f1e2d3c4b5a69788796a5b4",
        "",
    ],
)
def test_short_quotations_and_other_numbers_pass(said: str) -> None:
    """An assistant may say what its instructions are about."""
    assert find_leak(said, [INSTRUCTIONS], [MARKER]) == []


@given(st.integers(0, len(MARKER)), st.text(max_size=20), st.text(max_size=20))
def test_a_leak_in_two_pieces_is_a_leak(cut: int, before: str, after: str) -> None:
    """Wherever the pieces of a stream are cut, what completes the marker is found, and its span lies in the piece."""
    first, second = before + MARKER[:cut], f"{MARKER[cut:]} {after}"
    spans = find_leak(first, [], [MARKER]) or find_leak(second, [], [MARKER], first)
    assert spans
    assert all(0 <= start < end for start, end in spans)


@given(st.text(), st.text(max_size=40))
def test_any_text_is_read(said: str, before: str) -> None:
    """Nothing crashes it, and spans lie in the text in order."""
    at = 0
    for start, end in find_leak(said, [INSTRUCTIONS, said], [MARKER], before):
        assert at <= start < end <= len(said)
        at = end


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_model_that_tells_its_instructions_is_not_heard(*, streamed: bool) -> None:
    """The marker and the instructions reach the model; neither comes back."""
    seen: list[str] = []

    def told(info: AgentInfo) -> str:
        assert info.instructions is not None
        seen.append(info.instructions)
        return f"Of course. My instructions are: {info.instructions}"

    def answer(_: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        return ModelResponse(parts=[TextPart(told(info))])

    async def stream(_: list[ModelMessage], info: AgentInfo):  # type: ignore[no-untyped-def]
        yield told(info)

    model = FunctionModel(answer, stream_function=stream)
    safe = harden(Agent(model, name="teller", instructions=INSTRUCTIONS), Policy(guards=[guards.canary()]))
    heard: list[str] = []
    with pytest.raises(GuardBlocked):
        if streamed:
            async with safe.run_stream("hello", deps=None, principal=ALICE) as said:
                heard += [text async for text in said.text()]
        else:
            await safe.run("hello", deps=None, principal=ALICE)
    assert "Internal reference" in seen[0]
    assert "Acme" not in "".join(heard) or len("".join(heard).split()) < 20
