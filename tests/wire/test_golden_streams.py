"""Streams, frame by frame: the chunks they give, and the answer that they fold into.

A case of tests/golden/{wire}_streams.json has ``frames``, each an event and its data (an object, or
a text that is sent as it is), and where it needs them what a request's case has. Expected are
``chunks``, and ``answer`` as in a reply's case, or the ``code`` of the error (with ``says``,
``details`` and ``usage`` where they matter). ``body`` is the reply that the frames fold into, where
that is to be shown word for word.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, cast

import pytest

from headrace.core.chunks import TextChunk, ThinkingChunk, ToolCallChunk, UsageChunk
from headrace.core.errors import ProviderError, TruncatedError
from headrace.core.response import Usage
from tests.wire.golden import CODECS, GOLDEN, Case, context, of_each_wire, route
from tests.wire.test_golden import check_answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.core.chunks import Chunk
    from headrace.core.context import RequestContext
    from headrace.core.model import Route
    from headrace.core.reply import Reply
    from headrace.core.response import APIResponse
    from headrace.wire.draft import Fold

Plain: TypeAlias = list[object]
FRAMINGS: Final = {"sse", "ndjson", "event_stream"}
STREAMED: Final = [wire for wire in CODECS if (GOLDEN / f"{wire}_streams.json").exists()]


class Streamed(Protocol):
    FRAMING: str

    def fold(self, context: RequestContext, route: Route) -> Fold: ...


def begun(wire: str, case: Case) -> Fold:
    return cast("Streamed", CODECS[wire]).fold(context(case), route(wire, case))


def feed(fold: Fold, frames: Sequence[Sequence[Any]], chunks: list[Chunk]) -> Reply:
    for event, data in frames:
        said = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
        # Half a pair, which Hypothesis may draw, is sent as the bytes that are no UTF-8.
        chunks.extend(fold.feed(event, said.encode("utf-8", "surrogatepass")))
    return fold.reply()


def answered(
    wire: str, case: Case, frames: Sequence[Sequence[Any]], chunks: list[Chunk]
) -> APIResponse[object]:
    reply = feed(begun(wire, case), frames, chunks)
    if "body" in case:
        assert json.loads(reply.body) == case["body"]
    return CODECS[wire].decode(context(case), route(wire, case), reply)


def plain(chunk: Chunk) -> Plain:
    match chunk:
        case TextChunk(text=text):
            return ["text", text]
        case ThinkingChunk(text=text):
            return ["thinking", text]
        case ToolCallChunk(index=index, id=identity, name=name, arguments=arguments):
            return ["call", index, identity, name, arguments]
        case UsageChunk(usage=usage):
            return ["usage", list(usage.to_dict().values())[:5]]
    raise AssertionError(chunk)


@pytest.mark.parametrize(("wire", "case"), of_each_wire("streams"))
def test_streams(wire: str, case: Case) -> None:
    chunks: list[Chunk] = []
    if "answer" in case:
        answer = answered(wire, case, case["frames"], chunks)
        check_answer(answer, case["answer"])
    else:
        with pytest.raises(ProviderError) as caught:
            answered(wire, case, case["frames"], chunks)
        check_break(caught.value, case)
    if "answer" in case or "chunks" in case:
        assert [plain(chunk) for chunk in chunks] == case.get("chunks", [])


def check_break(error: ProviderError, case: Case) -> None:
    assert error.code == case["code"], error
    assert error.message.isprintable()
    assert case.get("says", "") in error.message
    assert error.hint == case.get("hint")
    if "details" in case:
        assert error.details == case["details"]
    if "usage" in case:
        assert error.usage == Usage(*case["usage"])


@pytest.mark.parametrize(("wire", "case"), of_each_wire("streams"))
def test_a_stream_that_is_cut_is_the_whole_answer_or_none(wire: str, case: Case) -> None:
    if "answer" not in case:
        return
    whole, cut = case["answer"], {name: case[name] for name in case if name != "body"}
    for end in range(len(case["frames"])):
        try:
            answer = answered(wire, cut, case["frames"][:end], [])
        except TruncatedError:
            continue
        assert answer.completion == whole["completion"]
        assert answer.thinking == whole.get("thinking")
        assert answer.finish_reason == whole["finish_reason"]
        calls = [[call.id, call.name, call.arguments] for call in answer.tool_calls]
        assert calls == whole.get("tool_calls", [])


@pytest.mark.parametrize("wire", STREAMED)
def test_a_stream_of_nothing_is_truncated(wire: str) -> None:
    assert cast("Streamed", CODECS[wire]).FRAMING in FRAMINGS
    with pytest.raises(TruncatedError):
        begun(wire, {}).reply()


@pytest.mark.parametrize("wire", STREAMED)
@pytest.mark.parametrize("data", ["", "[DONE]", "null", "[]", '"x"', "{", "{}", "\x00"])
def test_no_frame_alone_is_an_answer(wire: str, data: str) -> None:
    frames = [(event, data) for event in ("", "ping", "unheard_of")]
    with pytest.raises(ProviderError):
        feed(begun(wire, {}), frames, [])
