"""Whatever bytes come back, they are an answer or a typed error; whatever is cut is no answer."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import ProviderError, RejectedError, ReplyError
from headrace.core.reply import Reply
from headrace.wire import failure, record
from tests.wire.golden import CODECS, GOLDEN, context, route

if TYPE_CHECKING:
    from collections.abc import Callable

    from headrace.core.response import APIResponse

pytestmark = [pytest.mark.once, pytest.mark.thorough]

Decode: TypeAlias = "Callable[[Reply], APIResponse[object]]"
DECODE: Final[list[Decode]] = [
    partial(codec.decode, context({}), route(wire)) for wire, codec in CODECS.items()
]
BODIES: Final[list[Any]] = [
    case["body"]
    for name in ["errors.json", *(f"{wire}_replies.json" for wire in CODECS)]
    for case in json.loads((GOLDEN / name).read_text(encoding="utf-8"))
    if "body" in case
]
ODD: st.SearchStrategy[object] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=[]), max_size=5)
    | st.sampled_from(["text", "thinking", "tool_use", "error", "stop", "refusal", "429", ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "error", "code", "message", "index", "function", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)


def paths(value: object, here: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Where each value inside ``value`` stands."""
    found = [here]
    if isinstance(value, dict):
        found += [path for key, item in value.items() for path in paths(item, (*here, key))]
    if isinstance(value, list):
        found += [path for n, item in enumerate(value) for path in paths(item, (*here, n))]
    return found


def replaced(value: Any, path: tuple[object, ...], odd: object) -> object:  # noqa: ANN401 - JSON has no type that mypy could follow
    """``value`` with something odd in one place."""
    if not path:
        return odd
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], odd)
    return copy


@st.composite
def almost_bodies(draw: st.DrawFn) -> bytes:
    """A body that a server sends, with one value replaced by an odd one."""
    body = draw(st.sampled_from(BODIES))
    return json.dumps(replaced(body, draw(st.sampled_from(paths(body))), draw(ODD))).encode()


def outcome(decode: Decode, reply: Reply) -> APIResponse[object] | ProviderError:
    try:
        return decode(reply)
    except ProviderError as error:
        return error


def check_outcome(reply: Reply) -> None:
    for decode in DECODE:
        answer = outcome(decode, reply)
        if isinstance(answer, ProviderError):
            assert answer.reply is reply
            assert answer.status == 200
            assert answer.message.isprintable()
            continue
        assert isinstance(answer.completion, str)
        answer.completion.encode()
        record.load(record.dump(answer))


@given(st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
def test_any_bytes(body: bytes) -> None:
    check_outcome(Reply(200, body))


@given(ODD)
def test_any_json(value: object) -> None:
    check_outcome(Reply(200, json.dumps(value).encode()))


@given(almost_bodies())
def test_almost_any_body(body: bytes) -> None:
    check_outcome(Reply(200, body))


@given(st.integers(-1, 1000), almost_bodies() | st.binary(max_size=50))
def test_any_refusal(status: int, body: bytes) -> None:
    reply = Reply(status, body)
    if status == 200:
        failure.check(reply)
        return
    error = failure.from_reply(reply)
    assert error.message.isprintable()
    assert error.status == status
    with pytest.raises(type(error)):
        failure.check(reply)


@pytest.mark.parametrize("depth", [100, 1_000, 200_000])
def test_any_depth(depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    for body in (
        nested,
        b'{"error": ' + nested + b"}",
        b'{"choices": [{"message": {"content": ' + nested + b"}}]}",
        b'{"choices": [{"message": {"tool_calls": [{"function": {"name": "f", "arguments": '
        + nested
        + b"}}]}}]}",
        b'{"content": [{"type": "tool_use", "name": "f", "input": ' + nested + b"}]}",
    ):
        check_outcome(Reply(200, body))
        failure.from_reply(Reply(400, body))


@pytest.mark.parametrize("body", [b for b in BODIES if isinstance(b, dict)][::4])
def test_every_beginning_of_a_body_is_no_answer(body: object) -> None:
    whole = json.dumps(body, ensure_ascii=False).encode()
    for end in range(len(whole)):
        for decode in DECODE:
            with pytest.raises(ReplyError) as caught:
                decode(Reply(200, whole[:end]))
            assert caught.value.reply == Reply(200, whole[:end])


def test_a_refusal_to_send_is_told_apart_from_a_refusal_received() -> None:
    """The engine gives back what was reserved only for what was never sent."""
    sent = failure.from_reply(Reply(400, b""))
    assert isinstance(sent, RejectedError)
    assert sent.status == 400
