"""Google's own client finds what ours has uploaded, and the other way round."""

from __future__ import annotations

import pytest
from google import genai
from google.genai import types

from headrace import LLMClient
from headrace.testing import FakeServer
from tests.wire.test_google_files import PDF, URI

pytestmark = pytest.mark.once
KEY = "AIza-0123456789"


def test_googles_own_client_finds_what_ours_has_uploaded() -> None:
    with FakeServer.in_thread() as server:
        there = types.HttpOptions(base_url=server.base_url.removesuffix("/v1"), api_version="v1")
        theirs = genai.Client(api_key=KEY, vertexai=False, http_options=there)
        with LLMClient("google/gemini", base_url=server.base_url, api_key=KEY) as client:
            kept = client.upload_file_sync(PDF)
            [listed] = theirs.files.list()
            assert (listed.name, listed.size_bytes) == (kept.id, kept.size)
            assert listed.create_time is not None
            assert listed.create_time.timestamp() == pytest.approx(kept.created_at)
            got = theirs.files.get(name=kept.id)
            assert (got.display_name, got.uri, got.mime_type) == (kept.name, URI, PDF.media_type)
            made = server._shelf.google.generate(b"%PDF-made", "application/pdf")  # noqa: SLF001 - nothing else makes files
            assert theirs.files.download(file=made) == client.download_file_sync(made).data
            theirs.files.delete(name=kept.id)
            assert [f.id for f in client.list_files_sync()] == [made]
