"""What goes out beside chat fits the vendors' own types, and what those write is what we read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from cohere.core.api_error import ApiError
from pydantic import TypeAdapter

from headrace.providers.operations import class_of
from tests.wire.test_golden_operations import FILES, context, route, wire_of
from tests.wire.test_vendor_vertex import Asked, listening

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
    "vertex_gemini_embed": genai.EmbedContentResponse,
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
        if each.values[1]["case"]
        in {"numbers", "openai", "tokens", "seconds", "two", "usage", "an image"}
    ],
)
def test_replies_are_what_the_vendors_types_hold(name: str, case: Case) -> None:
    read = REPLIES[name].model_validate(case["body"])
    assert read.model_dump(exclude_unset=True)


def test_images_are_embedded_as_by_coheres_own_client() -> None:
    [case] = [c for c in FILES["cohere_embed"]["requests"] if c["case"] == "an image"]
    way = route("cohere", "cohere")
    draft = class_of("embed", way).codec.encode(context(case), way)
    with listening() as there, pytest.raises(ApiError):
        cohere.ClientV2(api_key="any", base_url=there).embed(
            model=way.model.name,
            images=case["body"]["images"],
            input_type="image",
            output_dimension=512,
            embedding_types=["float"],
        )
    assert Asked.seen.pop() == (draft.path, json.loads(draft.body))
