"""Files that an endpoint keeps: uploads, lists, and what it says of one."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from headrace.core.errors import BadRowError
from headrace.core.listing import StoredFile
from headrace.wire import failure, reading
from headrace.wire.draft import Draft
from headrace.wire.form import form, related
from headrace.wire.operation import offer_of
from headrace.wire.remedy import NOT_FOUND
from headrace.wire.segment import segment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.core.media import File
    from headrace.core.model import Route
    from headrace.core.reply import Reply

PATH: Final = "/files"
USUAL: Final = "user_data"
_BY_PARTS: Final = (("x-goog-upload-protocol", "multipart"),)
_VERSION: Final = re.compile(r"v\d\w*", re.ASCII)
# Of a size that is written as text.
_DIGITS: Final = re.compile(r"\d{1,18}", re.ASCII)
_ANTHROPIC: Final = (
    ("anthropic-version", "2023-06-01"),
    ("anthropic-beta", "files-api-2025-04-14"),
)


class Shelf(NamedTuple):
    """One page of files, and the id to go on from; None: it was the last."""

    files: list[StoredFile]
    cursor: str | None


class _Way(NamedTuple):
    """What an API calls the parts of its lists, and where the content of a file is."""

    rows: str = "data"
    cursor: str = "after"
    content: str = "/content"
    headers: tuple[tuple[str, str], ...] = ()
    query: str = ""
    # What stands before the id of a file in its name, which is its id here.
    named: str = ""
    # Google's uploads: what describes a file beside it, both as parts of one body.
    is_related: bool = False
    # A list that is empty is not there.
    omits_empty: bool = False
    # What is answered for a file that is not there.
    lost: tuple[int, ...] = (NOT_FOUND,)


_USUAL: Final = _Way()
_WAYS: Final = {
    "anthropic": _Way(cursor="after_id", headers=_ANTHROPIC),
    "gemini": _Way(
        rows="files",
        cursor="pageToken",
        content=":download?alt=media",
        query="pageSize=100",
        named="files/",
        is_related=True,
        omits_empty=True,
        lost=(NOT_FOUND, 403),  # which may be another's, and this key's has no permission for
    ),
}


def _way(route: Route) -> _Way:
    return _WAYS.get(route.endpoint.wire, _USUAL)


def headers(route: Route) -> tuple[tuple[str, str], ...]:
    """What each call brings along."""
    return _way(route).headers


def root(route: Route) -> str:
    """Where files are."""
    return offer_of(route, "files").path or PATH


def entrance(route: Route) -> Route:
    """Where uploads go: ``route``, or at Google ``/upload`` before the version in its URL."""
    if not _way(route).is_related:
        return route
    above, _, version = route.base_url.rpartition("/")
    if not _VERSION.fullmatch(version):
        return replace(route, base_url=f"{route.base_url}/upload")
    return replace(route, base_url=f"{above}/upload/{version}")


def upload(route: Route, file: File, purpose: str | None) -> Draft:
    """What uploads ``file``; raises ``BadRowError`` where its bytes are not here."""
    if file.data is None:
        msg = "only a file with its bytes can be uploaded; make it with from_path or from_bytes"
        raise BadRowError(msg)
    offer, fields = offer_of(route, "files"), dict[str, str]()
    if "purpose" not in offer.unsupported:
        fields["purpose"] = purpose or offer.words.get("purpose", USUAL)
    kind = file.media_type or "application/octet-stream"
    if _way(route).is_related:
        named = {} if file.name is None else {"displayName": file.name}
        told = reading.write({"file": {"mimeType": kind, **named}})
        made = related(told, file.data, kind)
        return Draft(root(route), made.body, _BY_PARTS, (), made.content_type)
    made = form(fields, file.name or "file", file.data, kind)
    return Draft(root(route), made.body, headers(route), (), made.content_type)


def listing(route: Route, cursor: str | None) -> str:
    """Where a page of the list is."""
    way = _way(route)
    after = "" if cursor is None else f"{way.cursor}={quote(cursor, safe='')}"
    query = "&".join(each for each in (way.query, after) if each)
    return root(route) + (f"?{query}" if query else "")


def one(route: Route, identity: str) -> str:
    """Where a file is."""
    named = _way(route).named
    # A URI of Google's ends in the name.
    bare = identity.rpartition(named)[2] if named else identity
    return f"{root(route)}/{segment(bare, 'a file', 'its id')}"


def content(route: Route, identity: str) -> str:
    """Where the bytes of a file are."""
    return one(route, identity) + _way(route).content


def check(route: Route, reply: Reply, identity: str) -> None:
    """Raise the error that a reply about one file is, where it is one."""
    said = f"check the file's id, {identity!r:.80}; list_files tells which there are"
    failure.check(reply, dict.fromkeys(_way(route).lost, said))


def read(reply: Reply) -> StoredFile:
    """What a reply says of one file; raises the error that it is otherwise."""
    failure.check(reply)
    data = failure.read_object(reply)
    found = _stored(reading.block(data.get("file")) or data)
    if found is None:
        raise failure.unreadable(reply, "it names no file")
    return found


def read_all(route: Route, reply: Reply) -> Shelf:
    """What a reply lists; raises the error that it is otherwise."""
    failure.check(reply, {NOT_FOUND: "check the base_url, where no files are kept"})
    data, name = failure.read_object(reply), _way(route).rows
    rows = data.get(name, [] if _way(route).omits_empty else None)
    if type(rows) is not list:
        raise failure.unreadable(reply, f"it has no {name}")
    found = [each for each in (_stored(reading.block(row)) for row in rows) if each is not None]
    if data.get("has_more") is True and found:
        return Shelf(found, reading.text(data.get("last_id")) or found[-1].id)
    return Shelf(found, reading.text(data.get("nextPageToken")))


def _stored(row: Mapping[str, object]) -> StoredFile | None:
    identity = reading.text(row.get("id", row.get("name")))
    if identity is None:
        return None
    return StoredFile(
        identity,
        reading.text(row.get("filename", row.get("displayName"))),
        _size(row.get("bytes", row.get("size_bytes", row.get("sizeBytes")))),
        reading.text(row.get("purpose")),
        _moment(row.get("created_at", row.get("createTime"))),
        dict(row),
    )


def _size(value: object) -> int | None:
    """A number, or its digits: Google writes large ones as text."""
    is_written = type(value) is str and _DIGITS.fullmatch(value)
    return reading.count(int(value) if is_written else value)  # type: ignore[call-overload]  # a text, if it is digits


def _moment(value: object) -> float | None:
    """Seconds since 1970, or a date as RFC 3339 writes it."""
    if type(value) in {int, float}:
        return float(value)  # type: ignore[arg-type]  # a number, as was looked at
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        return None
