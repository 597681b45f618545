"""Streams of Cohere and Ollama: the chunks of each frame, and the answer that they fold into."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from headrace.core.chunks import TextChunk, ThinkingChunk, ToolCallChunk, UsageChunk
from headrace.core.errors import ProviderError
from headrace.core.response import Usage
from tests.wire.golden import CODECS, Case, context, of_each_wire, route
from tests.wire.test_golden import check_answer

if TYPE_CHECKING:
    from headrace.core.chunks import Chunk
    from headrace.core.response import APIResponse

OURS = [case for case in of_each_wire("streams") if case.values[0] in {"cohere", "ollama"}]


def shown(chunk: Chunk) -> list[object]:
    match chunk:
        case TextChunk(text):
            return ["text", text]
        case ThinkingChunk(text):
            return ["thinking", text]
        case ToolCallChunk(index, arguments, identity, name):
            return ["call", index, identity, name, arguments]
        case UsageChunk(u):
            buckets = [u.input_tokens, u.output_tokens, u.cache_read_tokens, u.cache_write_tokens]
            return ["usage", [*buckets, u.reasoning_tokens]]
    raise AssertionError(chunk)


def folded(wire: str, case: Case, chunks: list[list[object]]) -> APIResponse[object]:
    """The answer of a stream; ``chunks`` gets what came of its frames."""
    asked, way = context(case), route(wire)
    fold = CODECS[wire].fold(asked, way)
    for event, data in case["frames"]:
        said = data if isinstance(data, str) else json.dumps(data)
        chunks += [shown(chunk) for chunk in fold.feed(event, said.encode())]
    return CODECS[wire].decode(asked, way, fold.reply())


@pytest.mark.parametrize(("wire", "case"), OURS)
def test_streams(wire: str, case: Case) -> None:
    chunks: list[list[object]] = []
    if "answer" in case:
        check_answer(folded(wire, case, chunks), case["answer"])
    else:
        with pytest.raises(ProviderError, match=case.get("says")) as caught:
            folded(wire, case, chunks)
        assert caught.value.code == case["code"]
        billed = case.get("usage")
        assert caught.value.usage == (None if billed is None else Usage(*billed))
    assert chunks == case["chunks"]
