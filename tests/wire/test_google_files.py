"""Files at Google: where they are asked for, what is read, and how they stand in a prompt."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Final

import orjson
import pytest

from headrace import Conversation, File, LLMClient
from headrace.core.errors import BadRowError, GoneError, ProviderError, RejectedError
from headrace.core.model import Model, Route
from headrace.core.reply import Reply
from headrace.registry import endpoints
from headrace.testing import FakeServer
from headrace.wire import files

if TYPE_CHECKING:
    from collections.abc import Iterator

PDF: Final = File(data=b"%PDF-1\r\n--", media_type="application/pdf", name='a "b".pdf')
URI: Final = "https://generativelanguage.googleapis.com/v1beta/files/file-1"


def way(base_url: str = "https://generativelanguage.googleapis.com/v1beta") -> Route:
    return Route(Model(id="google/m"), endpoints.known()["google"], base_url)


def reply(body: object, status: int = 200) -> Reply:
    return Reply(status, orjson.dumps(body))


@pytest.mark.parametrize(
    ("base_url", "there"),
    [
        (way().base_url, "https://generativelanguage.googleapis.com/upload/v1beta"),
        ("https://proxy.test/google/v1", "https://proxy.test/google/upload/v1"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/upload"),
        ("https://proxy.test/google", "https://proxy.test/google/upload"),
    ],
)
def test_uploads_go_beside_the_version(base_url: str, there: str) -> None:
    assert files.entrance(way(base_url)).base_url == there


def test_an_upload_is_a_description_and_the_bytes() -> None:
    draft = files.upload(way(), PDF, "ignored")
    assert draft.path == "/files"
    assert draft.headers == (("x-goog-upload-protocol", "multipart"),)
    kind, _, boundary = draft.content_type.partition("; boundary=")
    assert kind == "multipart/related"
    before, told, data, end = draft.body.split(b"--" + boundary.encode())
    assert (before, end) == (b"", b"--\r\n")
    head, _, described = told.partition(b"\r\n\r\n")
    assert head == b"\r\nContent-Type: application/json; charset=utf-8"
    assert orjson.loads(described) == {
        "file": {"mimeType": "application/pdf", "displayName": 'a "b".pdf'}
    }
    assert data == b"\r\nContent-Type: application/pdf\r\n\r\n%PDF-1\r\n--\r\n"
    with pytest.raises(BadRowError, match="bytes"):
        files.upload(way(), File(file_id="f"), None)


@pytest.mark.parametrize("name", ["abc-1", "files/abc-1", f"{way().base_url}/files/abc-1"])
def test_a_file_is_found_by_its_id_its_name_and_its_uri(name: str) -> None:
    assert files.one(way(), name) == "/files/abc-1"
    assert files.content(way(), name) == "/files/abc-1:download?alt=media"


def test_lists_go_on_and_may_be_empty() -> None:
    assert files.read_all(way(), reply({})) == files.Shelf([], None)
    page = files.read_all(way(), reply({"files": [{"name": "files/a"}], "nextPageToken": "b c"}))
    assert [f.id for f in page.files] == ["files/a"]
    assert files.listing(way(), None) == "/files?pageSize=100"
    assert files.listing(way(), page.cursor) == "/files?pageSize=100&pageToken=b%20c"
    with pytest.raises(ProviderError, match="no files"):
        files.read_all(way(), reply({"files": 5}))


@pytest.mark.parametrize(
    ("size", "read"), [("12", 12), (13, 13), ("x", None), ("9" * 30, None), (None, None)]
)
def test_sizes_are_written_as_text(size: object, read: int | None) -> None:
    row = {"name": "files/a", "sizeBytes": size, "createTime": "2026-01-01T00:00:00.123456789Z"}
    kept = files.read(reply({"file": row}))
    assert (kept.id, kept.size, kept.created_at) == ("files/a", read, 1767225600.123456)
    assert kept.metadata == row


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer.in_thread() as made:
        yield made


def test_files_come_are_asked_about_and_go(server: FakeServer) -> None:
    with LLMClient("google/gemini", base_url=server.base_url, api_key="AIza-0123456789") as client:
        assert client.list_files_sync() == []
        kept = client.upload_file_sync(PDF)
        assert (kept.id, kept.name, kept.size) == ("files/file-1", 'a "b".pdf', 10)
        assert kept.metadata["uri"] == URI
        assert client.get_file_sync(kept.id) == kept
        for _ in range(120):
            client.upload_file_sync(PDF)
        found = client.list_files_sync()
        assert (len(found), found[0]) == (121, kept)
        with pytest.raises(RejectedError, match="Only generated files can be downloaded"):
            client.download_file_sync(kept.id)
        client.delete_file_sync(kept.id)
        assert kept not in client.list_files_sync()
        with pytest.raises(ProviderError):
            client.get_file_sync(kept.id)


def test_a_file_that_is_gone_is_told_by_its_id_and_no_fault_of_the_key(server: FakeServer) -> None:
    with LLMClient("google/gemini", base_url=server.base_url, api_key="AIza-0123456789") as client:
        for ask in (client.get_file_sync, client.download_file_sync, client.delete_file_sync):
            with pytest.raises(GoneError) as caught:
                ask("files/none")
            assert "403" in caught.value.message
            assert caught.value.message.endswith(
                "check the file's id, 'files/none'; list_files tells which there are"
            )


def test_what_else_is_refused_there_is_told_as_it_is() -> None:
    unpaid = reply(
        {"error": {"code": 403, "message": "x", "details": [{"reason": "BILLING_DISABLED"}]}}, 403
    )
    page = Reply(403, b"<html>no</html>", {"content-type": "text/html"})
    for refusal in (unpaid, page):
        with pytest.raises(ProviderError) as caught:
            files.check(way(), refusal, "a")
        assert "file's id" not in caught.value.message
    elsewhere = Route(
        Model(id="openai/m"), endpoints.known()["openai"], "https://api.openai.com/v1"
    )
    with pytest.raises(GoneError, match="what the API key may do"):
        files.check(elsewhere, reply({"error": {"message": "no"}}, 403), "a")


@pytest.mark.parametrize(
    ("endpoint", "name"),
    [*product(("google", "openai"), ("", "..", "lone \ud800 surrogate")), ("google", "files/")],
)
def test_what_can_be_no_id_of_a_file_is_told_as_that(
    server: FakeServer, endpoint: str, name: str
) -> None:
    with (
        LLMClient(f"{endpoint}/m", base_url=server.base_url, api_key="AIza-01234567") as client,
        pytest.raises(RejectedError, match=r"the name of a file.*; give its id$"),
    ):
        client.get_file_sync(name)
    assert not server.received


def test_what_a_model_made_is_downloaded(server: FakeServer) -> None:
    name = server._shelf.google.generate(b"%PDF-made", "application/pdf")  # noqa: SLF001 - nothing else makes files
    with LLMClient("google/gemini", base_url=server.base_url, api_key="AIza-0123456789") as client:
        made = client.download_file_sync(name)
    assert (made.data, made.media_type) == (b"%PDF-made", "application/pdf")


def test_a_file_that_is_kept_stands_in_a_prompt_by_its_uri(server: FakeServer) -> None:
    with LLMClient("google/gemini", base_url=server.base_url, api_key="AIza-0123456789") as client:
        kept = client.upload_file_sync(PDF)
        file = File(file_id=kept.id, media_type="application/pdf")
        response = client.ask_sync(Conversation().user("What is it?", file))
    assert not response.is_error
    [turn] = orjson.loads(server.received[-1].body)["contents"]
    assert turn["parts"][1] == {"fileData": {"mimeType": "application/pdf", "fileUri": URI}}
