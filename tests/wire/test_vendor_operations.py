"""What goes out beside chat fits the vendors' own types, and what those write is what we read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from pydantic import TypeAdapter

from headrace.providers.operations import class_of
from tests.wire.test_golden_operations import FILES, context, route, wire_of

if TYPE_CHECKING:
    from tests.wire.test_golden_operations import Case

pytestmark = [pytest.mark.once, pytest.mark.xdist_group("openai types")]
openai: Final = pytest.importorskip("openai.types", reason="openai is not installed")
audio: Final = pytest.importorskip("openai.types.audio", reason="openai is not installed")
cohere: Final = pytest.importorskip("cohere", reason="cohere is not installed")
genai: Final = pytest.importorskip("google.genai.types", reason="google-genai is not installed")
REQUESTS: Final = {
    "openai_chat_embed": openai.EmbeddingCreateParams,
    "openai_chat_moderate": openai.ModerationCreateParams,
    "openai_chat_speak": audio.SpeechCreateParams,
}
REPLIES: Final = {
    "openai_chat_embed": openai.CreateEmbeddingResponse,
    "openai_chat_transcribe": audio.Transcription,
    "cohere_embed": cohere.EmbedByTypeResponse,
    "gemini_embed": genai.EmbedContentResponse,
}


def of(kind: str, name: str, mark: str) -> list[Any]:
    rows = FILES[name][kind]
    return [pytest.param(name, r, id=f"{name}-{r['case']}") for r in rows if mark in r]


@pytest.mark.parametrize(
    ("name", "case"),
    [
        each
        for name in REQUESTS
        for each in of("requests", name, "body")
        if "openai" in each.values[1]["endpoint"]
    ],
)
def test_requests_fit_the_types_of_openai(name: str, case: Case) -> None:
    wire, operation = wire_of(name)
    way = route(case["endpoint"], wire)
    body = json.loads(class_of(operation, way).codec.encode(context(case), way).body)
    form = TypeAdapter(REQUESTS[name])
    assert json.loads(form.dump_json(form.validate_python(body), warnings=False)) == body


@pytest.mark.parametrize(
    ("name", "case"),
    [
        each
        for name in REPLIES
        for each in of("replies", name, "body")
        if each.values[1]["case"] in {"numbers", "openai", "tokens", "seconds", "two", "usage"}
    ],
)
def test_replies_are_what_the_vendors_types_hold(name: str, case: Case) -> None:
    read = REPLIES[name].model_validate(case["body"])
    assert read.model_dump(exclude_unset=True)
