"""The files that the fake server keeps, in OpenAI's form, and in Google's for its keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from headrace.testing.seen import Answer
from headrace.testing.server.dialects.openai_operations import form_of
from headrace.testing.server.shelf_google import GoogleShelf

if TYPE_CHECKING:
    from headrace.testing.server.connection import Head


class Shelf:
    """Uploads, lists, contents and deletions below ``/files``."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[dict[str, object], bytes]] = {}
        self._made = 0
        self.google = GoogleShelf()

    def answer(self, head: Head, body: bytes) -> Answer | None:
        """What a request gets; None where there is nothing."""
        if "x-goog-api-key" in head.headers:
            return self.google.answer(head, body)
        _, found, rest = head.path.partition("/files")
        if not found:
            return None
        name, _, more = rest.lstrip("/").partition("/")
        if head.method == "POST" and not name:
            return self._keep(body)
        if head.method == "GET" and not name:
            rows = [row for row, _ in self._files.values()]
            return _json({"object": "list", "data": rows, "has_more": False})
        if name not in self._files:
            return None
        if head.method == "DELETE":
            del self._files[name]
            return _json({"id": name, "object": "file", "deleted": True})
        row, data = self._files[name]
        return Answer(200, data, (), "application/octet-stream") if more else _json(row)

    def _keep(self, body: bytes) -> Answer:
        fields = form_of(body)
        self._made += 1
        row: dict[str, object] = {
            "id": f"file-{self._made}",
            "object": "file",
            "bytes": len(fields["file"]),
            "created_at": self._made,
            "filename": f"upload-{self._made}",
            "purpose": fields["purpose"].decode(),
            "status": "processed",
        }
        self._files[f"file-{self._made}"] = (row, fields["file"])
        return _json(row)


def _json(data: dict[str, object]) -> Answer:
    return Answer(200, orjson.dumps(data))
