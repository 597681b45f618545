"""Streams of OpenAI Responses: chunks add up to the answer, and odd frames do no harm."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.chunks import TextChunk, ThinkingChunk, ToolCallChunk
from headrace.core.errors import ProviderError, ReplyError, TruncatedError
from headrace.wire import openai_responses
from tests.wire.golden import Case, cases, context, route
from tests.wire.test_any_input import ODD, paths, replaced
from tests.wire.test_golden_streams import answered

if TYPE_CHECKING:
    from headrace.core.chunks import Chunk

WIRE: Final = "openai_responses"
STREAMS: Final = cases(f"{WIRE}_streams.json")
WHOLE: Final = [case for case in STREAMS if "answer" in case.values[0]]


@pytest.mark.parametrize("case", WHOLE)
def test_chunks_add_up_to_the_answer(case: Case) -> None:
    chunks: list[Chunk] = []
    answer = answered(WIRE, case, case["frames"], chunks)
    said = "".join(c.text for c in chunks if isinstance(c, TextChunk))
    assert said in {answer.completion, ""}  # with what comes at the end: see test_shaped
    thought = "".join(c.text for c in chunks if isinstance(c, ThinkingChunk))
    # What is said on the way to an answer is shown as it comes, and is no part of it.
    assert thought in {answer.thinking or "", "let me see"}
    for index, call in enumerate(answer.tool_calls):
        pieces = [c for c in chunks if isinstance(c, ToolCallChunk) and c.index == index]
        assert (pieces[0].id, pieces[0].name) == (call.id, call.name)
        assert "".join(piece.arguments for piece in pieces) == call.arguments


@pytest.mark.parametrize("case", WHOLE)
def test_every_beginning_of_a_stream_is_no_answer(case: Case) -> None:
    frames = case["frames"]
    last = next(n for n, f in enumerate(frames) if f[0].endswith(("completed", "incomplete")))
    for end in range(last + 1):
        with pytest.raises(TruncatedError):
            answered(WIRE, case, frames[:end], [])


@pytest.mark.once
@given(st.data())
def test_odd_frames_are_an_answer_or_a_typed_error(data: st.DataObject) -> None:
    frames: Any = data.draw(st.sampled_from(STREAMS)).values[0]["frames"]
    if frames:
        where = data.draw(st.sampled_from([path for path in paths(frames) if len(path) > 2]))
        frames = replaced(frames, where, data.draw(ODD))
    with suppress(ProviderError):
        assert isinstance(answered(WIRE, {}, frames, []).completion, str)


def test_a_last_event_that_cannot_be_written_again_is_no_answer() -> None:
    fold = openai_responses.fold(context({}), route(WIRE))
    deep = b'{"response": {"output": ' + b"[" * 300 + b"]" * 300 + b"}}"
    assert json.loads(deep)
    fold.feed("response.completed", deep)
    with pytest.raises(ReplyError, match="nested too deep"):
        fold.reply()
