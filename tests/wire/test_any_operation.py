"""Whatever comes back beside chat is an answer that can be kept, or a typed error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import ProviderError
from headrace.core.model import Model, Route
from headrace.core.reply import Reply
from headrace.core.response import APIResponse
from headrace.providers.operations import CODECS
from headrace.wire import files, models, record
from tests.wire.test_any_input import ODD, paths, replaced
from tests.wire.test_golden_operations import FILES, ROW, context, wire_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.core.context import RequestContext

Asked: TypeAlias = "tuple[tuple[str, str], RequestContext, Any]"
WAY: Final = Route(Model(id="endpoint/m"), ROW, "http://127.0.0.1")
CASES: Final[list[Asked]] = [
    (wire_of(name), context(case), case["body"])
    for name, rows in FILES.items()
    for case in rows["replies"]
    if "body" in case and case.get("status", 200) == 200
]
LISTS: Final[list[Any]] = [
    {"data": [{"id": "m", "context_length": 5, "pricing": {"prompt": "1", "completion": "2"}}]},
    {"data": [{"id": "f", "bytes": 5, "created_at": 5}], "has_more": True, "last_id": "f"},
]


@st.composite
def almost(draw: st.DrawFn) -> tuple[Asked, bytes]:
    """A request, and a reply to it with one value replaced by an odd one."""
    asked = draw(st.sampled_from(CASES))
    body = replaced(asked[2], draw(st.sampled_from(paths(asked[2]))), draw(ODD))
    return asked, json.dumps(body).encode()


def outcome(read: Callable[[], object]) -> object:
    try:
        return read()
    except ProviderError as error:
        return error


def check(asked: Asked, body: bytes) -> None:
    reply = Reply(200, body)
    found = outcome(lambda: CODECS[asked[0]].decode(asked[1], WAY, reply))
    if isinstance(found, ProviderError):
        assert found.reply is reply
        assert found.message.isprintable()
    else:
        assert isinstance(found, APIResponse)
        record.load(record.dump(found))


@given(almost())
def test_almost_any_body(given_: tuple[Asked, bytes]) -> None:
    check(*given_)


@given(st.sampled_from(CASES), st.binary(max_size=100))
def test_any_bytes(asked: Asked, body: bytes) -> None:
    check(asked, body)


@given(st.data())
def test_any_list(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from(LISTS))
    body = replaced(whole, data.draw(st.sampled_from(paths(whole))), data.draw(ODD))
    reply = Reply(200, json.dumps(body).encode())
    for read in (lambda: models.read(WAY, reply), lambda: files.read_all(WAY, reply)):
        found = outcome(read)
        assert not isinstance(found, ProviderError) or found.reply is reply
