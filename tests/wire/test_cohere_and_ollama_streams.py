"""Streams of Cohere and Ollama: the chunks of each frame, and the answer that they fold into."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from headrace.core.chunks import TextChunk, ThinkingChunk, ToolCallChunk, UsageChunk
from headrace.core.errors import ProviderError
from tests.wire.golden import CODECS, Case, context, of_each_wire, route
from tests.wire.test_golden import check_answer

if TYPE_CHECKING:
    from headrace.core.chunks import Chunk

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


@pytest.mark.parametrize(("wire", "case"), OURS)
def test_streams(wire: str, case: Case) -> None:
    asked, way = context(case), route(wire)
    fold, chunks = CODECS[wire].fold(asked, way), []
    try:
        for event, data in case["frames"]:
            said = data if isinstance(data, str) else json.dumps(data)
            chunks += [shown(chunk) for chunk in fold.feed(event, said.encode())]
        reply = fold.reply()
        answer = CODECS[wire].decode(asked, way, reply)
    except ProviderError as error:
        assert chunks == case["chunks"]
        assert error.code == case.get("code"), error
        assert case.get("says", "") in error.message
        assert "usage" not in case or error.usage is not None
        return
    assert chunks == case["chunks"]
    check_answer(answer, case["answer"])
