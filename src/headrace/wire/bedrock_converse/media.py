"""Images, documents, audio and video as Converse takes them: by bytes, or from S3."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from headrace.core.errors import RejectedError
from headrace.core.media import BY_SUFFIX, File, Image

if TYPE_CHECKING:
    from headrace.core.media import Media
    from headrace.wire.draft import Unsupported

NAMELESS: Final = "document"
LONGEST_NAME: Final = 200
# Media type: what a block of it is called, and the format in it.
_FORMATS: Final[dict[str, tuple[str, str]]] = {
    **{f"image/{kind}": ("image", kind) for kind in ("png", "jpeg", "gif", "webp")},
    "application/pdf": ("document", "pdf"),
    "application/msword": ("document", "doc"),
    "application/vnd.ms-excel": ("document", "xls"),
    BY_SUFFIX["docx"]: ("document", "docx"),
    BY_SUFFIX["xlsx"]: ("document", "xlsx"),
    "text/csv": ("document", "csv"),
    "text/html": ("document", "html"),
    "text/markdown": ("document", "md"),
    "text/plain": ("document", "txt"),
    "audio/mpeg": ("audio", "mp3"),
    "audio/mp4": ("audio", "m4a"),
    **{f"audio/{kind}": ("audio", kind) for kind in ("aac", "flac", "ogg", "opus", "wav", "webm")},
    "audio/x-m4a": ("audio", "m4a"),
    "video/3gpp": ("video", "three_gp"),
    "video/quicktime": ("video", "mov"),
    "video/x-flv": ("video", "flv"),
    "video/x-matroska": ("video", "mkv"),
    "video/x-ms-wmv": ("video", "wmv"),
    **{f"video/{kind}": ("video", kind) for kind in ("mp4", "mpeg", "webm")},
}
# Of S3, where nobody says what a file is.
_BY_SUFFIX: Final = {
    **{suffix: kind for suffix, kind in BY_SUFFIX.items() if kind in _FORMATS},
    "flv": "video/x-flv",
    "mkv": "video/x-matroska",
    "mov": "video/quicktime",
    "mp4": "video/mp4",
    "mpeg": "video/mpeg",
    "wmv": "video/x-ms-wmv",
}
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9 ()\[\]-]+")
_SPACES: Final = re.compile(r"\s+")


class Library:
    """Writes the media of one request, whose documents need names that differ."""

    __slots__ = ("_taken", "_unsupported")

    def __init__(self, unsupported: Unsupported) -> None:
        """Begin a request."""
        self._unsupported = unsupported
        self._taken: set[str] = set()

    def block(self, media: Media) -> dict[str, object]:
        """One block; raises ``RejectedError`` for what Bedrock neither reads nor fetches."""
        if isinstance(media, Image) and media.detail not in {None, "auto"}:
            self._unsupported.adapt("the detail of an image is left out: Bedrock has none")
        source = _source(media)
        block, form = self._form(media)
        written: dict[str, object] = {"format": form, "source": source}
        if block == "document":
            written["name"] = self._name(media.name if isinstance(media, File) else None)
        return {block: written}

    def _form(self, media: Media) -> tuple[str, str]:
        kind = media.media_type or _BY_SUFFIX.get((media.url or "").rpartition(".")[2].lower(), "")
        if (found := _FORMATS.get(kind)) is not None:
            return found
        if kind.startswith("text/") or kind == "application/json":
            self._unsupported.adapt(f"a file of type {kind} is sent as plain text")
            return "document", "txt"
        shown = f"a file of type {kind}" if kind else "a file of unknown type"
        msg = (
            f"Bedrock reads no such thing as {shown}; give it as an image, a PDF, a text, an"
            " office document, audio or video, with its media_type"
        )
        raise RejectedError(msg)

    def _name(self, given: str | None) -> str:
        """By Bedrock's rule, and no other document's name (whatever its case)."""
        bare = (given or "").rpartition(".")[0] or given or ""
        clean = _SPACES.sub(" ", _NOT_IN_NAMES.sub(" ", bare)).strip()[:LONGEST_NAME].strip()
        name, again = clean or NAMELESS, 1
        while name.lower() in self._taken:
            again += 1
            ending = f" ({again})"
            name = f"{(clean or NAMELESS)[: LONGEST_NAME - len(ending)]}{ending}"
        self._taken.add(name.lower())
        return name


def _source(media: Media) -> dict[str, object]:
    if media.data is not None:
        return {"bytes": media.base64}
    if media.url is not None and media.url.startswith("s3://"):
        return {"s3Location": {"uri": media.url}}
    what = "a file_id" if media.url is None else "a URL other than s3://"
    msg = f"Bedrock fetches nothing from {what}; give the bytes, or put the file into S3"
    raise RejectedError(msg)
