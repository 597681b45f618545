"""What only Anthropic's Messages have, asked of a real model: systems within, frames by name."""

from __future__ import annotations

from http.client import HTTPConnection
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from headrace import Conversation, LLMClient, RequestContext
from headrace.adapters.local import shared
from headrace.core.chunks import TextChunk, UsageChunk
from headrace.wire import anthropic
from tests.scenarios.real import STEADY, client_of, needs_model
from tests.wire.golden import route

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = needs_model


@pytest.fixture
def client() -> Iterator[LLMClient]:
    yield from client_of("anthropic", "tool")


def test_system_messages_before_and_within(client: LLMClient) -> None:
    talk = Conversation().system("You are a poet.").user("Hi.").assistant("Hello!").system("Rhyme.")
    [row] = client.process_prompts_sync([talk.user("Go on.")], show_progress=False)
    assert row.raise_for_error().completion
    assert [sentence.partition(":")[0] for sentence in row.adaptations] == [
        "temperature is left out"
    ]


def frames(asked: RequestContext) -> Iterator[tuple[str, bytes]]:
    """The events that the server sends for ``asked``."""
    draft = anthropic.encode(asked, route("anthropic"), stream=True)
    connection = HTTPConnection(urlsplit(shared().anthropic_url).netloc, timeout=60)
    headers = {**dict(draft.headers), "content-type": "application/json"}
    connection.request("POST", draft.path, draft.body, headers)
    answer = connection.getresponse()
    assert answer.status == 200
    for event in answer.read().split(b"\n\n"):
        fields = dict(line.partition(b": ")[::2] for line in event.splitlines())
        if b"data" in fields:
            yield fields[b"event"].decode(), fields[b"data"]
    connection.close()


def test_a_stream_folds_into_the_answer_that_comes_without_one() -> None:
    asked = RequestContext(prompt="Count: 1, 2, 3,", params=STEADY)
    fold = anthropic.fold(asked, route("anthropic"))
    chunks = [chunk for event, data in frames(asked) for chunk in fold.feed(event, data)]
    answer = anthropic.decode(asked, route("anthropic"), fold.reply())
    said = "".join(chunk.text for chunk in chunks if isinstance(chunk, TextChunk))
    assert said == answer.completion != ""
    assert isinstance(chunks[-1], UsageChunk)
    assert answer.usage == chunks[-1].usage
    assert answer.finish_reason in {"stop", "length"}
    assert answer.model == "smollm2"
