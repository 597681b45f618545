"""Vectors and rankings from the fake server, in the form of every endpoint that offers them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from headrace import Image, LLMClient, list_endpoints
from headrace.testing import FakeServer, faults, plans, vector_of
from tests.testing.asking import post

if TYPE_CHECKING:
    from headrace import APIResponse, Endpoint, Responses

pytestmark = pytest.mark.once
KEY = "a-key-0123456789"
TEXTS = ["one", "one two", "one two three", *(f"text {n}" for n in range(100))]


def offering(operation: str) -> dict[str, Endpoint]:
    return {e.name: e for e in list_endpoints() if operation in e.operations}


EMBEDDING = offering("embed")
MODELS = [
    *(f"{name}/m" for name in sorted(EMBEDDING)),
    # What is otherwise for some models of an endpoint, known by their names.
    *(
        f"{name}/{part}m"
        for name, row in sorted(EMBEDDING.items())
        for part in row.operations["embed"].models
    ),
    "bedrock/amazon.titan-embed-text-v2:0",
    "bedrock/us.cohere.embed-v4:0",
]
# Nothing is told of what these cost.
UNTOLD = {"vertex/multimodalm"}


@pytest.fixture(autouse=True)
def version(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Azure's classic addresses need."""
    monkeypatch.setenv("OPENAI_API_VERSION", "2026-01-01")


def embed(model: str, texts: list[str], server: FakeServer, **options: Any) -> Responses[Any]:
    async def main() -> Responses[Any]:
        async with server, LLMClient(model, base_url=server.base_url, api_key=KEY) as client:
            return await client.embed(texts, show_progress=False, **options)

    return asyncio.run(main())


def vector(response: APIResponse[Any]) -> list[float]:
    assert response.error is None, response.error
    return list(response.parsed or ())


@pytest.mark.parametrize("model", MODELS)
def test_every_endpoint_gets_true_vectors_and_is_told_what_they_cost(model: str) -> None:
    server = FakeServer()
    responses = embed(model, TEXTS, server)
    assert [vector(r) for r in responses] == [vector_of(text) for text in TEXTS]
    used = sum(r.usage.input_tokens for r in responses if r.usage)
    assert used == (0 if model in UNTOLD else 6 + 2 * 100)
    name, _, asked = model.partition("/")
    assert {(seen.model, seen.key) for seen in server.received} == {(asked, KEY)}
    offer = EMBEDDING[name].operations["embed"].of(asked)
    assert len(server.received) == -(-len(TEXTS) // offer.items)


@pytest.mark.parametrize("dimensions", [2, 4, 300])
@pytest.mark.parametrize("model", MODELS)
def test_vectors_are_as_long_as_is_asked(model: str, dimensions: int) -> None:
    name, _, asked_model = model.partition("/")
    offer = EMBEDDING[name].operations["embed"].of(asked_model)
    [response] = embed(model, ["a text"], FakeServer(), dimensions=dimensions, input_type="query")
    asked = None if "dimensions" in offer.unsupported else dimensions
    assert vector(response) == vector_of("a text", asked)
    assert len(vector(response)) == (asked or 4)


def test_vertex_embeds_an_image_where_the_model_takes_one() -> None:
    image = Image.from_bytes(b"\x89PNG\r\n\x1a\n", "image/png")

    async def main() -> APIResponse[Any]:
        async with FakeServer() as server:
            url, model = server.base_url, "vertex/multimodalembedding@001"
            async with LLMClient(model, base_url=url, api_key=KEY) as client:
                return await client.embed(image, dimensions=128)

    assert vector(asyncio.run(main())) == vector_of("iVBORw0KGgo=", 128)


def test_longer_vectors_begin_with_the_shorter_ones_and_tell_texts_apart() -> None:
    assert vector_of("a", 1000)[:4] == vector_of("a") == vector_of("a", 4)
    assert vector_of("a", 1000)[4:] != vector_of("b", 1000)[4:]


@pytest.mark.parametrize(
    ("model", "code", "status"),
    [
        ("google/m", "overloaded", 503),
        ("cohere/m", "rate_limited", 429),
        ("ollama-native/m", "overloaded", 500),
        ("bedrock/amazon.titan-embed-text-v2:0", "rate_limited", 429),
    ],
)
def test_trouble_is_told_as_the_vendor_tells_it(model: str, code: str, status: int) -> None:
    server = FakeServer(faults=plans.Sequence([faults.Status(status)]))
    codes = []

    async def main() -> None:
        async with server, LLMClient(model, base_url=server.base_url, api_key=KEY) as client:
            client.add_listener(lambda event: codes.append(getattr(event, "error", None)))
            assert vector(await client.embed("a")) == vector_of("a")

    asyncio.run(main())
    assert [error.code for error in codes if error is not None] == [code]


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("/embeddings", {"model": "m", "input": ["a"], "dimensions": 0}, "from 1 to 4096"),
        ("/embeddings", {"model": "m", "input": ["a"], "dimensions": "4"}, "from 1 to 4096"),
        ("/embeddings", {"model": "m", "input": [""]}, "cannot be empty"),
        ("/embeddings", {"input": ["a"]}, "model: a name is required"),
        ("/embeddings", {"model": "m"}, "input: it is required"),
        ("/models/m:batchEmbedContents", {"requests": [{}]}, "requests: 1 to 100 texts"),
        ("/models/m:batchEmbedContents", {"requests": 7}, "requests: 1 to 100 texts"),
        ("/v2/embed", {"model": "m", "texts": ["a"]}, "input_type: it is required"),
        ("/v2/embed", {"model": "m", "texts": ["a"] * 97, "input_type": "x"}, "1 to 96 texts"),
        ("/model/m/invoke", {"inputText": ["a", "b"]}, "inputText: 1 to 1 texts"),
        ("/model/m/invoke", {"other": 1}, "anthropic_version"),
    ],
)
def test_what_a_vendor_would_not_take_is_refused(
    path: str, body: dict[str, Any], says: str
) -> None:
    async def main() -> None:
        async with FakeServer() as server:
            status, _, said = await post(server.base_url + path, body)
            assert status == 400
            assert says in str(said)

    asyncio.run(main())


def test_one_path_of_bedrock_is_for_chats_too() -> None:
    async def main() -> None:
        async with FakeServer() as server:
            model = "bedrock-anthropic/us.anthropic.claude-sonnet-4-5-20250929-v1:0"
            async with LLMClient(model, base_url=server.base_url, api_key=KEY) as client:
                assert (await client.ask("inputText")).completion == "echo: inputText"

    asyncio.run(main())


@pytest.mark.parametrize("name", sorted(offering("rerank")))
def test_every_endpoint_ranks_and_is_told_what_that_cost(name: str) -> None:
    async def main() -> None:
        async with FakeServer() as server:
            async with LLMClient(f"{name}/m", base_url=server.base_url, api_key=KEY) as client:
                response = await client.rerank(
                    "red fish", ["a boat", "red fish", "a fish"], top_n=2
                )
                assert [(r.index, r.score) for r in response.parsed or ()] == [(1, 1.0), (2, 0.5)]
            billed = (response.usage and response.usage.input_tokens, dict(response.metadata))
            told = {"cohere": (None, {"search_units": 1}), "bedrock": (None, {})}
            assert billed == told.get(name, (8, {}))

    asyncio.run(main())


def test_a_limit_on_tokens_counts_what_is_asked_alone() -> None:
    server = FakeServer(tokens_per_minute=6)
    responses = embed("openai/m", ["one two", "three four", "five six"], server)
    assert not responses.failed
    assert not server.throttled
