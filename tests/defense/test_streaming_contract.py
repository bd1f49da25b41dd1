"""What streaming takes for granted of Pydantic AI, so that a change there fails here and not in a stream."""

from dataclasses import fields

from pydantic_ai.messages import PartDeltaEvent, PartStartEvent, TextPart, TextPartDelta
from pydantic_ai.models import ModelRequestParameters, StreamedResponse

from seawall.defense.streaming.held_stream import HeldStream
from tests.defense.streams import ScriptedModel, ScriptedStream


def test_a_streams_parts_can_be_given_events() -> None:
    """Applied events are what a response's snapshot shows, and events given out stay as they were."""
    stream = ScriptedStream(ScriptedModel([]), [], ModelRequestParameters())
    begun = PartStartEvent(index=0, part=TextPart("a"))
    stream._parts_manager.apply_event(begun)
    stream._parts_manager.apply_event(PartDeltaEvent(index=0, delta=TextPartDelta("b")))
    assert stream.get().parts == [TextPart("ab")]
    assert begun.part == TextPart("a")


def test_what_a_stream_learns_on_the_way_is_known() -> None:
    """The fields that are carried over exist; everything abstract is answered by the stream that is held."""
    names = {field.name for field in fields(StreamedResponse) if not field.init}
    assert {"finish_reason", "state", "provider_response_id", "provider_details", "metadata"} <= names
    assert {"failed_attempts", "final_result_event"} <= names
    assert not getattr(HeldStream, "__abstractmethods__", None)
