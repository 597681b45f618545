"""Bedrock's streams: odd frames, and Claude's own events inside those of InvokeModel."""

from __future__ import annotations

import json
from base64 import b64encode
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import ProviderError
from headrace.wire import bedrock_anthropic, bedrock_converse
from tests.wire.golden import CODECS, Case, cases, context, reply_of, route
from tests.wire.test_golden import check_answer
from tests.wire.test_golden_streams import answered, check_break, plain

if TYPE_CHECKING:
    from headrace.core.chunks import Chunk

WIRE: Final = "bedrock_anthropic"


def chunk(data: object) -> list[object]:
    """An event of Claude's as Bedrock sends it."""
    said = data if isinstance(data, str) else json.dumps(data)
    return ["chunk", {"bytes": b64encode(said.encode()).decode(), "p": "abcd"}]


def is_event(data: object) -> bool:
    return isinstance(data, dict) and "type" in data


# Claude's type stands in the event alone: only the SSE of Anthropic's own has it elsewhere.
OF_CLAUDE: Final = [
    case
    for case in cases("anthropic_streams.json")
    if all(is_event(data) for _, data in case.values[0]["frames"])
]


@pytest.mark.parametrize("case", OF_CLAUDE)
def test_claudes_streams_are_the_same_inside_bedrocks(case: Case) -> None:
    frames = [chunk(data) for _, data in case["frames"]]
    chunks: list[Chunk] = []
    if "answer" in case:
        check_answer(answered(WIRE, case, frames, chunks), case["answer"])
        assert [plain(found) for found in chunks] == case["chunks"]
        return
    with pytest.raises(ProviderError) as caught:
        answered(WIRE, case, frames, chunks)
    check_break(caught.value, case)


@pytest.mark.parametrize("case", cases("anthropic_replies.json"))
def test_claudes_replies_are_read_as_anthropics_are(case: Case) -> None:
    def outcome(wire: str) -> object:
        try:
            return CODECS[wire].decode(context(case), route(wire, case), reply_of(case))
        except ProviderError as error:
            return type(error), error.message, error.details, error.usage

    assert outcome(WIRE) == outcome("anthropic")


EVENTS: Final = st.sampled_from(
    ["contentBlockStart", "contentBlockDelta", "messageStop", "metadata", "oddException", "error"]
)
NAMES: Final = st.sampled_from(
    [
        "bytes",
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
        "type",
        "usage",
    ]
)
ODD: Final[st.SearchStrategy[Any]] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)


@pytest.mark.once
@given(st.lists(st.tuples(EVENTS, ODD), max_size=6))
def test_any_frames_of_converse_are_an_answer_or_a_typed_error(
    frames: list[tuple[str, object]],
) -> None:
    fold = bedrock_converse.fold(context({}), route("bedrock_converse"))
    with suppress(ProviderError):
        for event, data in [*frames, ("messageStop", {})]:
            fold.feed(event, json.dumps(data).encode())
        answer = bedrock_converse.decode(context({}), route("bedrock_converse"), fold.reply())
        assert isinstance(answer.completion, str)


@pytest.mark.once
@given(st.lists(ODD | ODD.map(chunk), max_size=4))
def test_any_chunks_are_an_answer_or_a_typed_error(frames: list[Any]) -> None:
    fold = bedrock_anthropic.fold(context({}), route(WIRE))
    with suppress(ProviderError):
        for data in frames:
            fold.feed("chunk", json.dumps(data).encode())
        answer = bedrock_anthropic.decode(context({}), route(WIRE), fold.reply())
        assert isinstance(answer.completion, str)
