"""OpenAI Responses through the whole client, before the fake server."""

from __future__ import annotations

import pytest

from headrace import LLMClient, SamplingParams
from headrace.core.chunks import EndChunk, TextChunk, UsageChunk
from headrace.core.errors import RejectedError
from headrace.testing import FakeServer

pytestmark = pytest.mark.once


def connected(server: FakeServer) -> LLMClient:
    return LLMClient("openai-responses/any", base_url=server.base_url, api_key="sk-unused")


def test_it_streams() -> None:
    with FakeServer.in_thread() as server, connected(server) as client:
        *chunks, end = client.stream_tokens_sync("one two")
        whole = client.ask_sync("one two")
    assert isinstance(end, EndChunk)
    assert "".join(c.text for c in chunks if isinstance(c, TextChunk)) == whole.completion
    assert (end.response.completion, end.response.usage) == (whole.completion, whole.usage)
    assert end.response.usage is not None
    assert UsageChunk(end.response.usage) in chunks


def test_what_it_has_no_place_for_is_seen_on_the_response() -> None:
    params = SamplingParams(seed=1)
    with FakeServer.in_thread() as server, connected(server) as client:
        adapted = client.ask_sync("one", sampling_params=params)
        strict = params | SamplingParams(on_unsupported="error")
        refused = client.ask_sync("one", sampling_params=strict)
        asked = server.ledger.total
    assert adapted.adaptations == ("seed is left out: OpenAI Responses has none",)
    assert isinstance(refused.error, RejectedError)
    assert asked == 1
