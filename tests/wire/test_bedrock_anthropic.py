"""InvokeModel: Claude's own replies and events, and these inside Bedrock's, are read the same."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Final

import pytest

from headrace.core.errors import ProviderError
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
