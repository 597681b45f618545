"""``multipart``: fields, or a description, and a file as one body. Pure."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_ODD: Final = re.compile(r'[\x00-\x1f\x7f"\\]')


class Form(NamedTuple):
    """A body, and the content type that says where its parts end."""

    body: bytes
    content_type: str


def form(fields: Mapping[str, str], name: str, data: bytes, media_type: str) -> Form:
    """``fields``, and ``data`` as a field "file" that is called ``name``.

    The boundary is made of what is between the parts, so that the same form is the same bytes.
    """
    digest = hashlib.sha256(data)
    for pair in fields.items():
        digest.update(repr(pair).encode("utf-8", "surrogatepass"))
    boundary = f"form-{digest.hexdigest()[:40]}"
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{_clean(key)}"\r\n\r\n{value}\r\n'
        for key, value in fields.items()
    ]
    parts.append(
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{_clean(name)}"'
        f"\r\nContent-Type: {_ODD.sub('_', media_type)}\r\n\r\n"
    )
    head, tail = "".join(parts).encode("utf-8", "replace"), f"\r\n--{boundary}--\r\n".encode()
    return Form(head + data + tail, f"multipart/form-data; boundary={boundary}")


def related(described: bytes, data: bytes, media_type: str) -> Form:
    """``data`` behind a JSON object that describes it; the boundary is made as that of a form."""
    boundary = f"part-{hashlib.sha256(described + data).hexdigest()[:40]}"
    head = (
        f"--{boundary}\r\nContent-Type: application/json; charset=utf-8\r\n\r\n".encode()
        + described
        + f"\r\n--{boundary}\r\nContent-Type: {_ODD.sub('_', media_type)}\r\n\r\n".encode()
    )
    body = head + data + f"\r\n--{boundary}--\r\n".encode()
    return Form(body, f"multipart/related; boundary={boundary}")


def _clean(name: str) -> str:
    """What may stand between quotation marks in a header."""
    return _ODD.sub("_", name)
