"""Images, files and audio: what they are made of, and what is none."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

import pytest

from headrace.core.conversation import Conversation, Message
from headrace.core.errors import BadRowError
from headrace.core.media import MAX_FILE_BYTES, MAX_IMAGE_BYTES, Audio, File, Image

PNG: Final = b"\x89PNG\r\n\x1a\n" + b"\0" * 8
PDF: Final = b"%PDF-1.7 and so on"
WAV: Final = b"RIFF\0\0\0\0WAVEfmt "


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
    ],
)
def test_the_media_type_is_read_from_the_first_bytes(data: bytes, kind: str) -> None:
    assert Image.from_bytes(data).media_type == kind
    assert repr(data) not in repr(Image.from_bytes(data))


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (b"", "image/png", "0 bytes"),
        (b"BM not an image", None, "of unknown type"),
        (b"x", "text/html", "'text/html'"),
        (PNG + b"\0" * MAX_IMAGE_BYTES, None, "20 MiB"),
    ],
)
def test_bytes_that_are_no_image_are_refused(data: bytes, kind: str | None, words: str) -> None:
    with pytest.raises(BadRowError, match=words):
        Image.from_bytes(data, kind)


def test_an_image_is_data_or_url_and_is_checked_however_it_is_made() -> None:
    with pytest.raises(BadRowError, match="one of data, url and file_id"):
        Image()
    with pytest.raises(BadRowError, match="one of data, url and file_id"):
        Image(data=PNG, media_type="image/png", url="https://example.test/a.png")
    with pytest.raises(BadRowError, match="of unknown type"):
        Image(data=PNG)
    with pytest.raises(BadRowError, match="local file"):
        Image(url="file:///etc/passwd")


def test_an_image_by_bytes_is_another_request_than_by_url_or_type() -> None:
    images = [
        Image.from_bytes(PNG),
        Image.from_bytes(PNG, "image/webp"),
        Image(data=PNG, media_type="image/png", detail="low"),
        Image.from_bytes(PNG + b"\0"),
        Image.from_url("https://example.test/a.png"),
        Image.from_url("https://example.test/b.png"),
    ]
    assert len({Conversation().user("look", i).fingerprint for i in images}) == len(images)
    again = Image.from_url(f"data:image/png;base64,{base64.b64encode(PNG).decode()}")
    assert again == images[0]


def test_files_and_audio_know_what_they_are() -> None:
    assert File.from_bytes(PDF).media_type == "application/pdf"
    assert Audio.from_bytes(WAV).media_type == "audio/wav"
    assert Audio.from_bytes(b"ID3 tune").media_type == "audio/mpeg"
    assert File.from_bytes(b"a,b", "text/csv").media_type == "text/csv"
    named = File.from_bytes(b"a,b", name="table.CSV")
    assert (named.media_type, named.name) == ("text/csv", "table.CSV")
    assert File.from_bytes(PDF, name="no suffix").media_type == "application/pdf"
    assert Audio.from_bytes(b"...", "audio/x-wav").media_type == "audio/wav"
    assert File.from_url("data:text/plain;charset=utf-8;base64,aGk=").data == b"hi"


def test_only_a_path_is_read_from_disk(tmp_path: Path) -> None:
    place = tmp_path / "report.PDF"
    place.write_bytes(PDF)
    (tmp_path / "notes.md").write_text("hello")
    file = File.from_path(place)
    assert (file.data, file.media_type, file.name) == (PDF, "application/pdf", "report.PDF")
    assert File.from_path(tmp_path / "notes.md").media_type == "text/markdown"
    with pytest.raises(BadRowError, match="wrap it in Path"):
        File.from_path(cast("Path", str(place)))
    with pytest.raises(BadRowError, match="No such file"):
        Image.from_path(tmp_path / "gone.png")
    with pytest.raises(BadRowError, match="local file"):
        File.from_url(str(place))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: File.from_bytes(b"", "application/pdf"), "0 bytes"),
        (lambda: File.from_bytes(b"?"), "of unknown type"),
        (lambda: File.from_bytes(b"x" * (MAX_FILE_BYTES + 1), "text/plain"), "50 MiB"),
        (lambda: Audio.from_bytes(PNG), "audio type"),
        (lambda: File(file_id=""), "file_id of a file is empty"),
        (lambda: File(data=PDF, media_type="application/pdf", file_id="x"), "one of data"),
    ],
)
def test_what_is_no_file_says_why(make: Callable[[], object], words: str) -> None:
    with pytest.raises(BadRowError, match=words):
        make()


def test_uploaded_files_are_known_by_their_id_alone() -> None:
    one, other = (Message.user("sum up", File(file_id=name)) for name in ("file-1", "file-2"))
    assert Conversation.of(one).fingerprint != Conversation.of(other).fingerprint


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp"])
def test_a_name_makes_no_image_of_a_text(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"picture.{suffix}"
    path.write_bytes(b"hello")
    with pytest.raises(BadRowError, match="of unknown type with 5 bytes"):
        Image.from_path(path)
    with pytest.raises(BadRowError, match="of unknown type with 5 bytes"):
        Image.from_url(f"data:image/{suffix};base64,aGVsbG8=")


def test_an_image_is_what_its_bytes_tell(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(b"\xff\xd8\xff")
    assert Image.from_path(path).media_type == "image/jpeg"
    assert Image.from_url("data:image/png;base64,/9j/").media_type == "image/jpeg"
