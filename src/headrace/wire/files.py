"""Files that an endpoint keeps: uploads, lists, and what it says of one."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from headrace.core.errors import BadRowError
from headrace.core.listing import StoredFile
from headrace.wire import failure, reading
from headrace.wire.draft import Draft
from headrace.wire.form import form
from headrace.wire.operation import offer_of
from headrace.wire.segment import segment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.core.media import File
    from headrace.core.model import Route
    from headrace.core.reply import Reply

PATH: Final = "/files"
USUAL: Final = "user_data"
_ANTHROPIC: Final = (
    ("anthropic-version", "2023-06-01"),
    ("anthropic-beta", "files-api-2025-04-14"),
)


class Shelf(NamedTuple):
    """One page of files, and the id to go on from; None: it was the last."""

    files: list[StoredFile]
    cursor: str | None


def headers(route: Route) -> tuple[tuple[str, str], ...]:
    """What each call brings along."""
    return _ANTHROPIC if route.endpoint.wire == "anthropic" else ()


def root(route: Route) -> str:
    """Where files are."""
    return offer_of(route, "files").path or PATH


def upload(route: Route, file: File, purpose: str | None) -> Draft:
    """The form that uploads ``file``; raises ``BadRowError`` where its bytes are not here."""
    if file.data is None:
        msg = "only a file with its bytes can be uploaded; make it with from_path or from_bytes"
        raise BadRowError(msg)
    offer, fields = offer_of(route, "files"), dict[str, str]()
    if "purpose" not in offer.unsupported:
        fields["purpose"] = purpose or offer.words.get("purpose", USUAL)
    kind = file.media_type or "application/octet-stream"
    made = form(fields, file.name or "file", file.data, kind)
    return Draft(root(route), made.body, headers(route), (), made.content_type)


def listing(route: Route, cursor: str | None) -> str:
    """Where a page of the list is."""
    after = "after_id" if route.endpoint.wire == "anthropic" else "after"
    return root(route) + ("" if cursor is None else f"?{after}={quote(cursor, safe='')}")


def one(route: Route, identity: str, more: str = "") -> str:
    """Where a file is, or its content."""
    return f"{root(route)}/{segment(identity)}{more}"


def read(reply: Reply) -> StoredFile:
    """What a reply says of one file; raises the error that it is otherwise."""
    failure.check(reply)
    found = _stored(failure.read_object(reply))
    if found is None:
        raise failure.unreadable(reply, "it names no file")
    return found


def read_all(reply: Reply) -> Shelf:
    """What a reply lists; raises the error that it is otherwise."""
    failure.check(reply)
    data = failure.read_object(reply)
    rows = data.get("data")
    if type(rows) is not list:
        raise failure.unreadable(reply, "it has no data")
    found = [each for each in (_stored(reading.block(row)) for row in rows) if each is not None]
    goes_on = data.get("has_more") is True and bool(found)
    return Shelf(found, (reading.text(data.get("last_id")) or found[-1].id) if goes_on else None)


def _stored(row: Mapping[str, object]) -> StoredFile | None:
    identity = reading.text(row.get("id"))
    if identity is None:
        return None
    size = row.get("bytes", row.get("size_bytes"))
    return StoredFile(
        identity,
        reading.text(row.get("filename")),
        reading.count(size),
        reading.text(row.get("purpose")),
        _moment(row.get("created_at")),
        dict(row),
    )


def _moment(value: object) -> float | None:
    """Seconds since 1970, or a date as RFC 3339 writes it."""
    if type(value) in {int, float}:
        return float(value)  # type: ignore[arg-type]  # a number, as was looked at
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        return None
