"""The clients of Google and Anthropic ask Vertex at the same places, and for the same."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Final

import anthropic
import pytest
from google import genai
from google.genai import types
from google.oauth2.credentials import Credentials

from headrace.adapters import google_auth
from headrace.core.context import RequestContext
from headrace.core.media import Image
from headrace.core.operations import Embed, EmbedPack
from headrace.core.secret import Masked
from headrace.providers.operations import class_of
from headrace.registry import resolve
from headrace.wire import gemini, vertex_anthropic
from tests.wire.golden import Case, cases, context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.wire.draft import Draft

pytestmark = pytest.mark.once
HERE: Final = resolve.Place()


class Asked(BaseHTTPRequestHandler):
    """Keeps what it is asked, and refuses it."""

    seen: Final[list[tuple[str, object]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.seen.append((self.path, json.loads(body)))
        self.send_response(400)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's own name
        del format, args


@contextmanager
def listening() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Asked) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def base_url(model: str) -> str:
    route = resolve.route(resolve.model_row(model), HERE)
    return asyncio.run(google_auth.admitted(route, Masked("ya29.token-0000")))[0].base_url


def place(model: str, draft: Draft) -> str:
    """The path of a request, without the host."""
    return "/" + (base_url(model) + draft.path).removeprefix("https://").partition("/")[2]


@pytest.fixture(autouse=True)
def _located(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "europe-west4")


def of_google(location: str, there: str | None = None) -> genai.Client:
    return genai.Client(
        vertexai=True,
        project="mine",
        location=location,
        credentials=Credentials("ya29.t"),  # type: ignore[no-untyped-call]  # google-auth has no types here
        http_options=types.HttpOptions(base_url=there) if there else None,
    )


def test_gemini_is_asked_at_the_same_path() -> None:
    refused = pytest.raises(genai.errors.ClientError)
    with listening() as there, of_google("europe-west4", there) as client, refused:
        client.models.generate_content(model="m", contents="hi")
    draft = gemini.encode(context({}), resolve.route(resolve.model_row("vertex/m"), HERE))
    assert Asked.seen.pop() == (place("vertex/m", draft), json.loads(draft.body))


@pytest.mark.parametrize(
    ("model", "texts"),
    [
        ("text-embedding-005", ["a"]),
        ("text-embedding-005", ["a", "b"]),
        ("gemini-embedding-001", ["a"]),
        ("gemini-embedding-001", ["a", "b"]),
        ("multilingual-e5-large-instruct-maas", ["a"]),
    ],
)
def test_texts_are_embedded_as_by_googles_own_client(model: str, texts: list[str]) -> None:
    asked = EmbedPack(tuple(Embed(text, 64, "query") for text in texts))
    route = resolve.route(resolve.model_row(f"vertex/{model}"), HERE)
    draft = class_of("embed", route).codec.encode(RequestContext(prompt=asked), route)
    refused = pytest.raises(genai.errors.ClientError)
    options = types.EmbedContentConfig(task_type="RETRIEVAL_QUERY", output_dimensionality=64)
    with listening() as there, of_google("europe-west4", there) as client, refused:
        client.models.embed_content(model=model, contents=[*texts], config=options)
    assert Asked.seen.pop() == (place(f"vertex/{model}", draft), json.loads(draft.body))


def test_images_are_embedded_as_by_googles_own_client() -> None:
    png = b"\x89PNG\r\n\x1a\n"
    route = resolve.route(resolve.model_row("vertex/gemini-embedding-2"), HERE)
    asked = RequestContext(prompt=Embed(Image.from_bytes(png)))
    draft = class_of("embed", route).codec.encode(asked, route)
    part = types.Part.from_bytes(data=png, mime_type="image/png")
    refused = pytest.raises(genai.errors.ClientError)
    with listening() as there, of_google("europe-west4", there) as client, refused:
        client.models.embed_content(model=route.model.name, contents=[part])
    path, sent = Asked.seen.pop()
    assert path == place("vertex/gemini-embedding-2", draft)
    assert isinstance(sent, dict)
    # Theirs has mime_type, which is the same to Google.
    theirs = types.Content.model_validate(sent.pop("content"))
    ours = json.loads(draft.body)
    assert (theirs, sent) == (types.Content.model_validate(ours.pop("content")), ours)


@pytest.mark.parametrize("location", ["global", "us", "eu", "us-east5"])
def test_the_hosts_are_the_same(monkeypatch: pytest.MonkeyPatch, location: str) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", location)
    theirs = of_google(location)._api_client._http_options.base_url  # noqa: SLF001 - nothing public tells
    assert theirs is not None
    assert base_url("vertex/m").startswith(theirs)
    of_anthropic = anthropic.AnthropicVertex(region=location, project_id="mine", access_token="t")
    theirs = str(of_anthropic.base_url)
    assert base_url("vertex-anthropic/m").startswith(theirs)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "case",
    [c for c in cases("vertex_anthropic_requests.json") if not c.values[0].keys() & {"refused"}],
)
def test_claude_is_asked_as_by_anthropics_own_client(case: Case, *, stream: bool) -> None:
    named = "vertex-anthropic/" + case.get("model", {}).get("id", "endpoint/m").partition("/")[2]
    route = resolve.route(resolve.model_row(named), HERE)
    draft = vertex_anthropic.encode(context(case), route, stream=stream)
    body = json.loads(draft.body)
    with listening() as there, pytest.raises(anthropic.BadRequestError):
        anthropic.AnthropicVertex(
            region="europe-west4", project_id="mine", access_token="t", base_url=f"{there}/v1"
        ).messages.create(
            model=route.model.name,
            max_tokens=body["max_tokens"],
            messages=body["messages"],
            extra_body={n: body[n] for n in ("temperature", "anthropic_version") if n in body},
            stream=stream,
        )
    path, sent = Asked.seen.pop()
    assert path == place(named, draft)
    assert isinstance(sent, dict)
    assert {**sent, "stream": stream} == {"stream": False, **body}
