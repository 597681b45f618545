"""Vectors and rankings of Vertex and Bedrock, from the client to the wire and back."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from headrace import (
    Embed,
    Endpoint,
    Image,
    LLMClient,
    Ranked,
    RequestContext,
    register_endpoint,
    unregister_endpoint,
)
from headrace.policy import reservation
from headrace.registry import endpoints
from headrace.testing import FakeServer
from headrace.testing.server.dialects.embeddings import vector_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.once
PNG = b"\x89PNG\r\n\x1a\n"
TAKEN = {"images", "texts"}
TEXTS = [f"text {n}" for n in range(300)]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer.in_thread() as made:
        yield made


def packs(server: FakeServer) -> Counter[str]:
    """How many requests came to each path, without what stands before the model."""
    return Counter(seen.path.rpartition("/models/")[2] for seen in server.received)


def vectors(client: LLMClient, texts: list[str]) -> None:
    responses = client.embed_sync(texts, show_progress=False)
    assert not responses.failed
    assert [list(r.parsed or ()) for r in responses] == [vector_of(text) for text in texts]


def test_vertex_takes_many_texts_and_one_of_geminis(server: FakeServer) -> None:
    with LLMClient("vertex/text-embedding-005", base_url=server.base_url, api_key="ya29.t") as many:
        vectors(many, TEXTS)
        assert packs(server) == {"text-embedding-005:predict": 2}
        response = many.embed_sync("two words")
        assert response.usage is not None
        assert response.usage.input_tokens == 2
    with LLMClient(
        "vertex/gemini-embedding-001", base_url=server.base_url, api_key="ya29.t"
    ) as one:
        vectors(one, TEXTS[:3])
        assert packs(server)["gemini-embedding-001:embedContent"] == 3


def test_a_row_of_ones_own_may_pack_what_vertex_takes_one_by_one(server: FakeServer) -> None:
    row = endpoints.known()["vertex"]
    embed = {**endpoints.offers()["vertex"]["embed"], "models": {}}
    mine = {
        "name": "mine",
        "base_url": server.base_url,
        "auth": "none",
        "operations": {"embed": embed},
    }
    register_endpoint(Endpoint(**{**row.model_dump(), **mine}))
    try:
        with LLMClient("mine/gemini-x") as client:
            vectors(client, TEXTS[:3])
    finally:
        unregister_endpoint("mine")
    assert packs(server) == {"gemini-x:predict": 1}


def test_bedrock_embeds_one_text_with_titan_and_many_with_cohere(server: FakeServer) -> None:
    with LLMClient(
        ["bedrock/amazon.titan-embed-text-v2:0"],
        base_url=server.base_url,
        api_key="bedrock-key-012345",
    ) as client:
        vectors(client, TEXTS[:3])
        assert len(server.received) == 3
        model = "bedrock/us.cohere.embed-v4:0"
        responses = client.embed_sync(TEXTS[:100], model=model, show_progress=False)
        assert [list(r.parsed or ()) for r in responses] == [vector_of(t) for t in TEXTS[:100]]
        assert len(server.received) == 5


@pytest.mark.parametrize("model", ["amazon.rerank-v1:0", "cohere.rerank-v3-5:0"])
def test_bedrock_ranks_what_is_signed(
    server: FakeServer, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    keys: Any = {"aws_access_key_id": "AKIA0123", "aws_secret_access_key": "s3cret"}
    with LLMClient(f"bedrock/{model}", base_url=server.base_url, api_key=keys) as client:
        response = client.rerank_sync("red fish", ["a boat", "red fish", "one fish"], top_n=2)
    assert response.parsed == (Ranked(1, 1.0), Ranked(2, 0.5))
    signed = server.received[0].headers["authorization"]
    assert signed.startswith("AWS4-HMAC-SHA256 Credential=AKIA0123/")
    assert "/us-west-2/bedrock/aws4_request" in signed


def test_images_go_out_one_by_one_beside_packs_of_texts(server: FakeServer, tmp_path: Path) -> None:
    first, second = (Image.from_bytes(PNG + bytes([n])) for n in range(2))
    rows: list[str | Image] = ["a text", first, "another", second, first]
    with LLMClient(
        "bedrock/cohere.embed-v4:0",
        base_url=server.base_url,
        api_key="bedrock-key-012345",
        cache=tmp_path / "cache.db",
    ) as client:
        responses = client.embed_sync(rows, show_progress=False)
        found = [list(r.parsed or ()) for r in responses]
        named = [row if isinstance(row, str) else row.data_uri for row in rows]
        assert found == [vector_of(name) for name in named]
        sent = [sorted(orjson.loads(seen.body).keys() & TAKEN) for seen in server.received]
        assert sorted(sent) == [["images"], ["images"], ["texts"]]
        again = client.embed_sync(rows, show_progress=False)
        assert [list(r.parsed or ()) for r in again] == found
        assert len(server.received) == 3


def test_titan_embeds_an_image(server: FakeServer) -> None:
    image = Image.from_bytes(PNG)
    with LLMClient(
        "bedrock/amazon.titan-embed-image-v1",
        base_url=server.base_url,
        api_key="bedrock-key-012345",
    ) as client:
        assert list(client.embed_sync(image).parsed or ()) == vector_of(image.base64)
        model = "bedrock/amazon.titan-embed-text-v2:0"
        refused = client.embed_sync(image, model=model)
    assert refused.error is not None
    assert "embeds no images" in refused.error.message


def test_an_image_counts_as_input_and_is_part_of_the_key() -> None:
    first, second = (Embed(Image.from_bytes(PNG + bytes([n]))) for n in range(2))
    keys = {RequestContext(prompt=each).cache_key for each in (first, second, Embed("a"))}
    assert len(keys) == 3
    assert reservation.input_tokens(first) == reservation.PER_IMAGE
