"""Events of Claude's streams: the chunks that they give, and the answer that they fold into."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.chunks import TextChunk, ThinkingChunk, ToolCallChunk, UsageChunk
from headrace.core.errors import ProviderError, ReplyError, TruncatedError
from headrace.wire import anthropic
from tests.wire.golden import Case, cases, context, route
from tests.wire.test_any_input import ODD, paths, replaced
from tests.wire.test_golden import check_answer

if TYPE_CHECKING:
    from headrace.core.chunks import Chunk
    from headrace.core.response import APIResponse
    from headrace.wire.draft import Fold

CASES = cases("anthropic_streams.json")


def brief(chunk: Chunk) -> list[object]:
    match chunk:
        case TextChunk(text):
            return ["text", text]
        case ThinkingChunk(text):
            return ["thinking", text]
        case ToolCallChunk(index, arguments, identity, name):
            return ["call", index, identity, name, arguments]
        case UsageChunk(u):
            found = [u.input_tokens, u.output_tokens, u.cache_read_tokens, u.cache_write_tokens]
            return ["usage", [*found, u.reasoning_tokens]]
    raise AssertionError(chunk)


def fed(case: Case) -> tuple[Fold, list[list[object]]]:
    """The fold after all frames, and what it gave for them."""
    fold = anthropic.fold(context(case), route("anthropic", case))
    frames = [(e, d if isinstance(d, str) else json.dumps(d)) for e, d in case["frames"]]
    return fold, [brief(chunk) for e, d in frames for chunk in fold.feed(e, d.encode())]


@pytest.mark.parametrize("case", CASES)
def test_streams(case: Case) -> None:
    if "code" in case:
        with pytest.raises(ProviderError) as caught:
            anthropic.decode(context(case), route("anthropic", case), fed(case)[0].reply())
        assert caught.value.code == case["code"]
        assert case.get("says", "") in caught.value.message
        return
    fold, chunks = fed(case)
    assert chunks == case["chunks"]
    answer = anthropic.decode(context(case), route("anthropic", case), fold.reply())
    check_answer(answer, case["answer"])
    # What was streamed is what is answered, with what comes at the end (see test_shaped).
    said = [str(chunk[1]) for chunk in chunks if chunk[0] == "text"]
    assert "".join(said) in {answer.completion, ""}


@pytest.mark.parametrize("case", [case for case in CASES if "answer" in case.values[0]])
def test_a_stream_cut_before_its_finish_is_no_answer(case: Case) -> None:
    """Each beginning of a stream without the event that says why it ended."""
    ends = [n for n, frame in enumerate(case["frames"]) if "stop_reason" in json.dumps(frame[1])]
    for end in range(ends[-1]):
        fold, _ = fed({**case, "frames": case["frames"][:end]})
        with pytest.raises(TruncatedError):
            fold.reply()


@st.composite
def almost_streams(draw: st.DrawFn) -> Case:
    """A stream in which one value is replaced by an odd one, and one event may be missing."""
    case: Case = draw(st.sampled_from([case.values[0] for case in CASES]))
    frames: list[list[object]] = [frame for frame in case["frames"] if not draw(st.booleans())]
    frames = frames or case["frames"] or [["ping", {}]]
    n = draw(st.integers(0, len(frames) - 1))
    event, data = frames[n]
    odd = replaced(data, draw(st.sampled_from(paths(data))), draw(ODD))
    return {**case, "frames": [*frames[:n], [event, odd], *frames[n + 1 :]]}


def outcome(case: Case) -> APIResponse[object] | ProviderError:
    try:
        return anthropic.decode(context(case), route("anthropic", case), fed(case)[0].reply())
    except ProviderError as error:
        return error


@pytest.mark.once
@given(almost_streams())
def test_any_stream_is_an_answer_or_a_typed_error(case: Case) -> None:
    found = outcome(case)
    if isinstance(found, ProviderError):
        assert found.message.isprintable()
        assert found.status == 200
    else:
        assert isinstance(found.completion, str)


@pytest.mark.once
@given(st.text(max_size=9), st.binary(max_size=50).filter(lambda data: data[:1] != b"{"))
def test_any_bytes_are_no_answer(event: str, data: bytes) -> None:
    found = outcome({"frames": [[event, data.decode("latin-1")]]})
    assert isinstance(found, ReplyError | TruncatedError)


def test_a_block_deeper_than_can_be_kept_is_unreadable() -> None:
    deep: object = {}
    for _ in range(300):
        deep = [deep]
    start = {"type": "content_block_start", "index": 0, "content_block": {"type": "x", "x": deep}}
    end = {"type": "message_stop"}
    assert isinstance(outcome({"frames": [["", start], ["", end]]}), ReplyError)
