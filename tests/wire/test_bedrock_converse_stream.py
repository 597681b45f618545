"""The streams of Bedrock, frame by frame: what is shown on the way, and the answer at the end."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.chunks import TextChunk, ThinkingChunk, ToolCallChunk, UsageChunk
from headrace.core.errors import ProviderError
from headrace.core.response import Usage
from headrace.wire import bedrock_converse
from tests.wire.golden import Case, cases, context, route
from tests.wire.test_golden import check_answer

if TYPE_CHECKING:
    from headrace.core.chunks import Chunk
    from headrace.core.response import APIResponse
    from headrace.wire.draft import Fold

WIRE: Final = "bedrock_converse"
CASES: Final = cases(f"{WIRE}_streams.json")


def written(data: object) -> bytes:
    return data.encode() if isinstance(data, str) else json.dumps(data).encode()


def new() -> Fold:
    return bedrock_converse.fold(context({}), route(WIRE))


def shown(chunk: Chunk) -> list[object]:
    match chunk:
        case TextChunk():
            return ["text", chunk.text]
        case ThinkingChunk():
            return ["thinking", chunk.text]
        case ToolCallChunk():
            return ["call", chunk.index, chunk.id, chunk.name, chunk.arguments]
        case UsageChunk(Usage() as usage):
            return ["usage", list(usage.to_dict().values())[:5]]
    raise AssertionError(chunk)


def read(case: Case, fold: Fold, seen: list[list[object]]) -> APIResponse[object]:
    for event, data in case["frames"]:
        seen += map(shown, fold.feed(event, written(data)))
    return bedrock_converse.decode(context({}), route(WIRE), fold.reply())


@pytest.mark.parametrize("case", CASES)
def test_streams(case: Case) -> None:
    seen: list[list[object]] = []
    fold = new()
    if "answer" in case:
        check_answer(read(case, fold, seen), case["answer"])
        assert seen == case["chunks"]
        return
    with pytest.raises(ProviderError) as caught:
        read(case, fold, seen)
    assert seen == case["chunks"]
    assert caught.value.code == case["code"]
    assert case.get("says", "") in caught.value.message
    if "usage" in case:
        assert caught.value.usage == Usage(*case["usage"])
    if "details" in case:
        assert caught.value.details == case["details"]


@pytest.mark.parametrize("case", [case for case in CASES if "answer" in case.values[0]])
def test_every_beginning_of_a_stream_is_truncated(case: Case) -> None:
    end = next(n for n, (event, _) in enumerate(case["frames"]) if event == "messageStop")
    for length in range(end):
        with pytest.raises(ProviderError) as caught:
            read(
                {"frames": case["frames"][:length]},
                bedrock_converse.fold(context({}), route(WIRE)),
                [],
            )
        assert caught.value.code == "truncated"


ODD: Final[st.SearchStrategy[object]] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    "citation",
                    "contentBlockIndex",
                    "delta",
                    "image",
                    "input",
                    "message",
                    "reasoningContent",
                    "redactedContent",
                    "signature",
                    "start",
                    "stopReason",
                    "text",
                    "toolResult",
                    "toolUse",
                    "usage",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
EVENTS: Final = st.sampled_from(
    ["contentBlockStart", "contentBlockDelta", "messageStop", "metadata", "oddException", "error"]
)


@pytest.mark.once
@given(st.lists(st.tuples(EVENTS, ODD), max_size=6))
def test_any_frames_are_an_answer_or_a_typed_error(frames: list[tuple[str, object]]) -> None:
    with suppress(ProviderError):
        answer = read({"frames": [*frames, ("messageStop", {})]}, new(), [])
        assert isinstance(answer.completion, str)
