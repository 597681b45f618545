"""Lists of models as vendors write them, and files: where to ask, and what is read."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pytest

from headrace import File, Price
from headrace.core.errors import BadRowError, GoneError, ProviderError
from headrace.core.model import Model, Route
from headrace.core.reply import Reply
from headrace.registry import endpoints
from headrace.testing.server.dialects.openai_operations import form_of
from headrace.wire import files, models

if TYPE_CHECKING:
    from headrace.core.listing import ListedModel


def route(endpoint: str) -> Route:
    row = endpoints.known()[endpoint]
    return Route(Model(id=f"{endpoint}/m"), row, "http://127.0.0.1")


def reply(body: object, status: int = 200) -> Reply:
    return Reply(status, json.dumps(body).encode())


def told(model: ListedModel) -> tuple[object, ...]:
    return (model.id, model.context_size, model.max_output_tokens, model.price)


ROUTER: Final = {
    "id": "a/b",
    "context_length": 1000,
    "top_provider": {"max_completion_tokens": 50, "context_length": 900},
    "pricing": {"prompt": "0.0000005", "completion": "0.0000015", "input_cache_read": "0.00000005"},
}
LISTS: Final[list[tuple[str, object, list[tuple[object, ...]]]]] = [
    ("openai", {"data": [{"id": "gpt"}, {"odd": 1}]}, [("openai/gpt", None, None, None)]),
    (
        "groq",
        {"data": [{"id": "m", "context_window": 8192, "max_completion_tokens": 4096}]},
        [("groq/m", 8192, 4096, None)],
    ),
    ("mistral", {"data": [{"id": "m", "max_context_length": 7}]}, [("mistral/m", 7, None, None)]),
    ("vllm", {"data": [{"id": "m", "max_model_len": 4096}]}, [("vllm/m", 4096, None, None)]),
    (
        "llamacpp",
        {"data": [{"id": "m", "meta": {"n_ctx": 2048}}]},
        [("llamacpp/m", 2048, None, None)],
    ),
    (
        "openrouter",
        {"data": [ROUTER, {"id": "auto", "pricing": {"prompt": "-1", "completion": "-1"}}]},
        [
            (
                "openrouter/a/b",
                1000,
                50,
                Price(input=Decimal("0.5"), output=Decimal("1.5"), cache_read=Decimal("0.05")),
            ),
            ("openrouter/auto", None, None, None),
        ],
    ),
    (
        "together",
        [{"id": "m", "context_length": 4096, "pricing": {"input": 0.2, "output": 0.4}}],
        [("together/m", 4096, None, Price(input=Decimal("0.2"), output=Decimal("0.4")))],
    ),
    (
        "anthropic",
        {"data": [{"id": "claude", "max_input_tokens": 200_000, "max_tokens": 64_000}]},
        [("anthropic/claude", 200_000, 64_000, None)],
    ),
    (
        "google",
        {"models": [{"name": "models/gemini", "inputTokenLimit": 9, "outputTokenLimit": 8}]},
        [("google/gemini", 9, 8, None)],
    ),
    (
        "cohere",
        {"models": [{"name": "c", "context_length": 128_000.0}]},
        [("cohere/c", 128_000, None, None)],
    ),
    (
        "ollama-native",
        {"models": [{"name": "q:7b", "size": 1}]},
        [("ollama-native/q:7b", None, None, None)],
    ),
]


@pytest.mark.parametrize(("endpoint", "body", "expected"), LISTS, ids=[row[0] for row in LISTS])
def test_lists(endpoint: str, body: object, expected: list[tuple[object, ...]]) -> None:
    found = models.read(route(endpoint), reply(body))
    assert [told(model) for model in found.models] == expected
    assert found.cursor is None


@pytest.mark.parametrize(
    ("endpoint", "body", "path"),
    [
        (
            "anthropic",
            {"data": [], "has_more": True, "last_id": "a b"},
            "/v1/models?limit=1000&after_id=a%20b",
        ),
        ("google", {"models": [], "nextPageToken": "n="}, "/models?pageSize=1000&pageToken=n%3D"),
        (
            "cohere",
            {"models": [], "next_page_token": "n"},
            "/v1/models?page_size=1000&page_token=n",
        ),
    ],
)
def test_long_lists_go_on(endpoint: str, body: object, path: str) -> None:
    way = route(endpoint)
    found = models.read(way, reply(body))
    assert models.path(way.endpoint.wire, found.cursor)[0] == path


@pytest.mark.parametrize("body", [{}, {"data": 5}, 5, "x", {"data": {}}])
def test_what_is_no_list(body: object) -> None:
    with pytest.raises(ProviderError, match="no data"):
        models.read(route("openai"), reply(body))
    with pytest.raises(ProviderError, match="no data"):
        files.read_all(route("openai"), reply(body if isinstance(body, dict) else {}))


@pytest.mark.parametrize(
    "endpoint",
    [n for n, row in endpoints.known().items() if "files" in row.operations and n != "google"],
)
def test_uploads(endpoint: str) -> None:
    way = route(endpoint)
    file = File(data=b"%PDF-1", media_type="application/pdf", name="a.pdf")
    draft = files.upload(way, file, None)
    fields = form_of(draft.body)
    purposes = {"mistral": b"ocr", "groq": b"batch", "azure": b"assistants"}
    usual = {} if endpoint == "anthropic" else {"purpose": purposes.get(endpoint, b"user_data")}
    assert fields == {**usual, "file": b"%PDF-1"}
    assert draft.path == ("/v1/files" if endpoint == "anthropic" else "/files")
    assert b'filename="a.pdf"\r\nContent-Type: application/pdf\r\n' in draft.body
    assert draft.headers == files.headers(way)
    with pytest.raises(BadRowError, match="bytes"):
        files.upload(way, File(file_id="f"), None)


def test_names_of_files_cannot_break_out_of_a_form() -> None:
    file = File(data=b"x\r\n--", media_type="text/plain", name='a"\r\nX: y\r\n\r\n.txt')
    draft = files.upload(route("openai"), file, "user_data")
    assert form_of(draft.body) == {"purpose": b"user_data", "file": b"x\r\n--"}
    assert b"\r\nX: y" not in draft.body


def test_files_as_vendors_tell_of_them() -> None:
    row: dict[str, Any] = {"id": "f", "bytes": 5, "filename": "a", "created_at": 7, "purpose": "p"}
    kept = files.read(reply(row))
    assert (kept.id, kept.size, kept.name, kept.created_at, kept.purpose) == ("f", 5, "a", 7.0, "p")
    row = {"id": "f", "size_bytes": 5, "filename": "a", "created_at": "2026-01-01T00:00:00Z"}
    kept = files.read(reply(row))
    assert (kept.size, kept.created_at, kept.metadata) == (5, 1767225600.0, row)
    assert files.read(reply({"id": "f", "created_at": "?"})).created_at is None
    page = files.read_all(route("openai"), reply({"data": [row, {}], "has_more": True}))
    assert [f.id for f in page.files] == ["f"]
    assert files.listing(route("openai"), page.cursor) == "/files?after=f"
    assert files.listing(route("anthropic"), page.cursor) == "/v1/files?after_id=f"
    assert files.content(route("openai"), "a/b") == "/files/a%2Fb/content"
    with pytest.raises(ProviderError, match="names no file"):
        files.read(reply({}))
    with pytest.raises(GoneError):
        files.read(reply({}, 404))
