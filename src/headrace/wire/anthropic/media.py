"""Images and documents as Anthropic's blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.core.errors import RejectedError
from headrace.core.media import MEDIA_TYPES, File, Image
from headrace.wire.turns import text_in

if TYPE_CHECKING:
    from headrace.wire.draft import Unsupported

FILES_BETA: Final = "files-api-2025-04-14"
PDF: Final = "application/pdf"
# Written as text, though their names do not say so.
_TEXTS: Final = frozenset({"application/json", "application/xml", "application/x-ndjson"})


def block(part: Image | File, unsupported: Unsupported) -> dict[str, object]:
    """An image or a document; raises ``RejectedError`` for a file that Claude cannot read."""
    if isinstance(part, Image):
        if part.detail not in {None, "auto"}:
            unsupported.adapt("the detail of an image is left out: Anthropic has none")
        return {"type": "image", "source": _source(part)}
    if part.media_type in MEDIA_TYPES:
        return {"type": "image", "source": _source(part)}
    found: dict[str, object] = {"type": "document", "source": _document(part)}
    if part.name is not None:
        found["title"] = part.name
    return found


def _source(part: Image | File) -> dict[str, object]:
    if part.file_id is not None:
        return {"type": "file", "file_id": part.file_id}
    if part.url is not None:
        return {"type": "url", "url": part.url}
    return {"type": "base64", "media_type": part.media_type, "data": part.base64}


def _document(part: File) -> dict[str, object]:
    kind = part.media_type or ""
    if part.data is None or kind == PDF:
        return _source(part)
    if not kind.startswith("text/") and kind not in _TEXTS:
        msg = f"Claude reads PDF and text files, not {kind or 'one of unknown type'}; convert it"
        raise RejectedError(msg)
    said = text_in(part.data, kind, "Anthropic")
    return {"type": "text", "media_type": "text/plain", "data": said}
