"""Images, files and audio: bytes, a URL that the provider fetches, or a file that it keeps.

A string from a data row is never opened as a local file: only ``from_path`` reads one, and takes
nothing but a path object.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import reprlib
from dataclasses import dataclass, field
from typing import ClassVar, Final, Protocol, Self, TypeAlias

from headrace.core.errors import BadRowError
from headrace.core.plain import kind_of, plain

_MIB: Final = 1024 * 1024
MAX_IMAGE_BYTES: Final = 20 * _MIB
MAX_FILE_BYTES: Final = 50 * _MIB
MEDIA_TYPES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
)
_RIFF: Final = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
# What the APIs take, by the names that files have.
BY_SUFFIX: Final = {
    "aac": "audio/aac",
    "csv": "text/csv",
    "doc": "application/msword",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "flac": "audio/flac",
    "gif": "image/gif",
    "htm": "text/html",
    "html": "text/html",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "json": "application/json",
    "m4a": "audio/mp4",
    "md": "text/markdown",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "pdf": "application/pdf",
    "png": "image/png",
    "txt": "text/plain",
    "wav": "audio/wav",
    "webm": "audio/webm",
    "webp": "image/webp",
    "xls": "application/vnd.ms-excel",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_SAME_TYPE: Final = {
    "audio/x-wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/mp3": "audio/mpeg",
    "image/jpg": "image/jpeg",
}


class ReadablePath(Protocol):
    """What ``pathlib.Path`` offers of a file."""

    @property
    def name(self) -> str:
        """Its last part."""

    def read_bytes(self) -> bytes:
        """All that it holds."""


@dataclass(frozen=True, slots=True)
class _Media:
    """Bytes with their media type, a URL that the provider fetches, or a file that it keeps.

    ``file_id`` is what the provider called an uploaded file; no other provider knows it.
    """

    data: bytes | None = field(default=None, repr=False)
    media_type: str | None = None
    url: str | None = None
    file_id: str | None = None

    _kind: ClassVar[str] = "file"
    _name: ClassVar[str] = "a file"
    _most: ClassVar[int] = MAX_FILE_BYTES

    def __post_init__(self) -> None:
        """Refuse what no provider could be given."""
        if [self.data, self.url, self.file_id].count(None) != 2:  # noqa: PLR2004  one of three
            msg = f"{self._name} needs one of data, url and file_id; make it with from_bytes,"
            raise BadRowError(f"{msg} from_path or from_url")
        if self.data is not None:
            kind = _SAME_TYPE.get(self.media_type or "", self.media_type)
            if kind != self.media_type:
                object.__setattr__(self, "media_type", kind)
            self._check_data(self.data, kind)
        if self.url is not None:
            self._check_url(self.url)
        if self.file_id is not None and not plain(self.file_id):
            raise BadRowError(f"the file_id of {self._name} is empty")

    def _check_data(self, data: bytes, kind: str | None) -> None:
        known = isinstance(kind, str) and self._knows(kind)
        if not _bytes(data, self._name) or len(data) > self._most or not known:
            shown = reprlib.repr(kind) if kind else "of unknown type"
            msg = (
                f"{self._name} must be {self._accepted()} of 1 byte to {self._most >> 20} MiB;"
                f" this one is {shown} with {len(data)} bytes"
            )
            raise BadRowError(msg)

    def _check_url(self, url: object) -> None:
        allowed = ("https://", "http://", "gs://", "s3://")
        if not isinstance(url, str) or not plain(url).startswith(allowed):
            named = self._name.partition(" ")[2]
            msg = (
                f"an {named} URL must be a string that begins with https://, http:// or data:;"
                " it is never opened as a local file"
            )
            raise BadRowError(msg)

    @classmethod
    def _knows(cls, media_type: str) -> bool:
        return "/" in media_type

    @classmethod
    def _accepted(cls) -> str:
        return "bytes with a media type"

    @classmethod
    def from_bytes(cls, data: bytes, media_type: str | None = None) -> Self:
        """From memory; the media type is read from the first bytes when it is not given."""
        return cls(data=_bytes(data, cls._name), media_type=media_type or sniff(data))

    @classmethod
    def from_path(cls, path: ReadablePath, media_type: str | None = None) -> Self:
        """Read a local file, now. ``path`` is a ``pathlib.Path``; text is never taken for one."""
        if isinstance(path, str | bytes) or not hasattr(path, "read_bytes"):
            msg = f"from_path takes a pathlib.Path, not {kind_of(path)}; wrap it in Path()"
            raise BadRowError(msg)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BadRowError(f"{path} cannot be read: {error.strerror or error}") from None
        suffix = path.name.rpartition(".")[2].lower()
        return cls.from_bytes(data, media_type or cls._told(data, BY_SUFFIX.get(suffix)))

    @classmethod
    def from_url(cls, url: str) -> Self:
        """By http(s) URL, or decoded from a ``data:`` URI. Nothing is fetched here."""
        if not str(url).startswith("data:"):
            return cls(url=url)
        data, declared = _of_data_uri(str(url), cls._name)
        return cls.from_bytes(data, cls._told(data, declared))

    @classmethod
    def _told(cls, data: bytes, declared: str | None) -> str | None:
        """The media type that the bytes tell, or else what their name or their URI declares."""
        return sniff(data) or declared

    @property
    def base64(self) -> str:
        """The bytes as text."""
        return base64.b64encode(self.data or b"").decode()

    @property
    def data_uri(self) -> str:
        """The URL, or the bytes as a ``data:`` URI."""
        return self.url or f"data:{self.media_type};base64,{self.base64}"

    def canonical(self) -> list[object]:
        """What keys are made of: bytes by digest and type, the rest by name."""
        more: list[object] = [value for value in self._more() if value is not None]
        if self.data is None and self.media_type is not None:  # some APIs are told of it
            more.append({"type": self.media_type})
        if self.file_id is not None:
            return [f"{self._kind}_id", self.file_id, *more]
        if self.data is None:
            return [f"{self._kind}_url", self.url, *more]
        digest = hashlib.sha256(self.data).hexdigest()
        return [self._kind, digest, self.media_type or "", *more]

    def _more(self) -> tuple[str | None, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class Image(_Media):
    """An image. ``detail`` is how closely OpenAI's models look at it, which decides its price."""

    detail: str | None = None

    _kind: ClassVar[str] = "image"
    _name: ClassVar[str] = "an image"
    _most: ClassVar[int] = MAX_IMAGE_BYTES

    def __post_init__(self) -> None:
        """Refuse what no provider could be given."""
        _Media.__post_init__(self)
        if self.detail is not None:
            plain(self.detail)

    @classmethod
    def _knows(cls, media_type: str) -> bool:
        return media_type in MEDIA_TYPES

    @classmethod
    def _accepted(cls) -> str:
        return "PNG, JPEG, GIF or WebP"

    @classmethod
    def _told(cls, data: bytes, declared: str | None) -> str | None:
        """All kinds of images that are taken tell what they are: another name makes none of it."""
        meant = _SAME_TYPE.get(declared or "", declared)
        return sniff(data) or (None if meant in MEDIA_TYPES else declared)

    def _more(self) -> tuple[str | None, ...]:
        return (self.detail,)


@dataclass(frozen=True, slots=True)
class File(_Media):
    """A document: PDF everywhere, text and office formats where a model reads them."""

    name: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no provider could be given."""
        _Media.__post_init__(self)
        if self.name is not None:
            plain(self.name)

    @classmethod
    def from_bytes(
        cls, data: bytes, media_type: str | None = None, *, name: str | None = None
    ) -> Self:
        """From memory; the media type is read from the first bytes, or told by the name."""
        suffix = "" if name is None else name.rpartition(".")[2].lower()
        kind = media_type or (sniff(data) if isinstance(data, bytes) else None)
        return cls(
            data=_bytes(data, cls._name), media_type=kind or BY_SUFFIX.get(suffix), name=name
        )

    @classmethod
    def from_path(cls, path: ReadablePath, media_type: str | None = None) -> Self:
        """Read a local file, now; its name goes with it."""
        made = super(File, cls).from_path(path, media_type)
        return cls(data=made.data, media_type=made.media_type, name=path.name)

    def _more(self) -> tuple[str | None, ...]:
        return (self.name,)


@dataclass(frozen=True, slots=True)
class Audio(_Media):
    """Sound that a model listens to, or that is to be written down."""

    _kind: ClassVar[str] = "audio"
    _name: ClassVar[str] = "an audio"

    @classmethod
    def _knows(cls, media_type: str) -> bool:
        return media_type.startswith("audio/")

    @classmethod
    def _accepted(cls) -> str:
        return "WAV, MP3, FLAC, OGG or another audio type"


Media: TypeAlias = Image | File | Audio


def sniff(data: bytes) -> str | None:
    """The media type that the first bytes tell; None where they tell nothing."""
    if data[:4] == b"RIFF":
        return _RIFF.get(data[8:12])
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), None)


def _bytes(data: object, name: str) -> bytes:
    if not isinstance(data, bytes):
        msg = f"the data of {name} must be bytes, not {kind_of(data)}; read the file first"
        raise BadRowError(msg)
    return data


def _of_data_uri(url: str, name: str) -> tuple[bytes, str]:
    head, _, payload = url[5:].partition(",")
    media_type, _, encoding = head.partition(";")
    if encoding.rpartition(";")[2] != "base64":
        msg = f"a data: URI of {name} must be base64 (data:image/png;base64,…)"
        raise BadRowError(msg)
    try:
        return base64.b64decode(payload, validate=True), media_type
    except (binascii.Error, ValueError):
        msg = "the base64 of a data: URI cannot be decoded"
        raise BadRowError(msg) from None
