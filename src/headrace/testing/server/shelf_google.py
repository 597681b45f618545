"""The files that the fake server keeps, in Google's form."""

from __future__ import annotations

import re
from base64 import b64encode
from email.parser import BytesParser
from email.policy import HTTP
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

import orjson

from headrace.testing.seen import Answer

if TYPE_CHECKING:
    from headrace.testing.server.connection import Head

MOST_ROWS: Final = 100
_PATH: Final = re.compile(
    r"(?P<upload>/upload)?/v1\w*/files(/(?P<id>[^/:]+)(?P<load>:download)?)?$"
)


class GoogleShelf:
    """Uploads by multipart, lists of at most 100, and deletions.

    What was uploaded cannot be downloaded, as at Google; ``generate`` puts up what can.
    """

    def __init__(self) -> None:
        self._files: dict[str, tuple[dict[str, object], bytes]] = {}
        self._made = 0

    def answer(self, head: Head, body: bytes) -> Answer | None:
        """What a request gets; None where there is nothing."""
        path = _PATH.search(head.path)
        if path is None or bool(path["upload"]) is not (head.method == "POST"):
            return None
        if path["upload"]:
            return self._keep(head, body)
        if path["id"] is None:
            return self._list(head)
        if path["id"] not in self._files:
            return _refusal(403, "PERMISSION_DENIED", "You do not have permission to access it.")
        row, data = self._files[path["id"]]
        if head.method == "DELETE":
            del self._files[path["id"]]
            return _json({})
        if path["load"] is None:
            return _json(row)
        if row["source"] == "UPLOADED":
            return _refusal(400, "INVALID_ARGUMENT", "Only generated files can be downloaded.")
        return Answer(200, data, (), str(row["mimeType"]))

    def generate(self, data: bytes, media_type: str) -> str:
        """Keep a file as a model makes it; returns its name."""
        return str(self._put({"mimeType": media_type}, data, "GENERATED")["name"])

    def _keep(self, head: Head, body: bytes) -> Answer:
        if head.headers.get("x-goog-upload-protocol") != "multipart":
            return _refusal(400, "INVALID_ARGUMENT", "This server takes multipart uploads only.")
        kind = head.headers.get("content-type", "").encode()
        parts: Any = BytesParser(policy=HTTP).parsebytes(
            b"Content-Type: " + kind + b"\r\n\r\n" + body
        )
        described, file = parts.get_payload()
        told = orjson.loads(described.get_payload(decode=True))["file"]
        row = {**told, "mimeType": file.get_content_type()}
        return _json({"file": self._put(row, file.get_payload(decode=True), "UPLOADED")})

    def _put(self, row: dict[str, object], data: bytes, source: str) -> dict[str, object]:
        self._made += 1
        name = f"file-{self._made}"
        whole = {
            "name": f"files/{name}",
            **row,
            "sizeBytes": str(len(data)),
            "createTime": f"2026-01-01T00:00:{self._made % 60:02}.123456789Z",
            "sha256Hash": b64encode(sha256(data).hexdigest().encode()).decode(),
            "uri": f"https://generativelanguage.googleapis.com/v1beta/files/{name}",
            "state": "ACTIVE",
            "source": source,
        }
        self._files[name] = (whole, data)
        return whole

    def _list(self, head: Head) -> Answer:
        asked = parse_qs(head.query)
        size = min(int(asked.get("pageSize", ["10"])[0]), MOST_ROWS)
        start = int(asked.get("pageToken", ["0"])[0])
        rows = [row for row, _ in self._files.values()]
        page: dict[str, object] = {"files": rows[start : start + size]} if rows else {}
        if len(rows) > start + size:
            page["nextPageToken"] = str(start + size)
        return _json(page)


def _json(data: dict[str, object]) -> Answer:
    return Answer(200, orjson.dumps(data))


def _refusal(code: int, status: str, message: str) -> Answer:
    error = {"code": code, "message": message, "status": status}
    return Answer(code, orjson.dumps({"error": error}))
