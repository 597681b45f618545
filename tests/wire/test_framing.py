"""Streams give the same frames wherever their bytes are cut; garbled ones are noticed."""

from __future__ import annotations

import struct
import time
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeAlias
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.testing import frames
from headrace.wire.framing import (
    MAX_FRAME,
    EventStreamDecoder,
    Frame,
    FramingError,
    NDJSONDecoder,
    SSEDecoder,
    decoder_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from headrace.wire.framing import Decoder

    Kind: TypeAlias = Callable[[], Decoder]

OPENED: Final = tuple(partial(decoder_of, kind) for kind in ("sse", "ndjson", "event_stream"))
KINDS: Final[tuple[Kind, ...]] = (SSEDecoder, NDJSONDecoder, EventStreamDecoder, *OPENED)
LINE_ENDS: Final = st.sampled_from([b"\n", b"\r", b"\r\n"])
# What is no line end for a stream, though it is for str.splitlines; and characters of each length.
WORDS: Final = st.text(
    st.sampled_from('ab \u2028\u2029\u0085\x0b\x0c\x1c\ufeff\u00e4\u4e2d\U0001f389:{}[]\\"'),
    max_size=12,
)
EVENTS: Final = st.lists(
    st.tuples(st.sampled_from(["", "ping", "a.b"]), WORDS, WORDS, st.booleans()), max_size=5
)


def read(kind: Kind, blocks: Iterable[bytes]) -> tuple[list[Frame], list[Frame], str | None]:
    """The frames of a stream, those that its end gives, and the error that it ends with."""
    decoder, found = kind(), []
    try:
        for block in blocks:
            found += decoder.feed(block)
        return found, decoder.end(), None
    except FramingError as error:
        return found, [], str(error)


def whole(kind: Kind, data: bytes) -> list[Frame]:
    found, rest, error = read(kind, [data])
    assert (rest, error) == ([], None)
    return found


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


# Wherever the bytes are cut.


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_any_split_gives_the_same(kind: Kind, data: st.DataObject) -> None:
    good = frames.aws_event("chunk", b"{}") + frames.aws_exception("bad", b'{"message":"no"}')
    parts = [
        *[b"\r", b"\n", b"\r\n", b"data:", b"data: ", b"event: x", b": hm", b'{"a": "}"', b"}"],
        *["\u2028\u00e4\U0001f389".encode(), b"\xef\xbb\xbf", b"\xff", good, good[:9], b"["],
    ]
    stream = b"".join(data.draw(st.lists(st.sampled_from(parts), max_size=25)))
    cuts = data.draw(st.lists(st.integers(0, 1000)))
    expected = read(kind, [stream])
    assert read(kind, pieces(stream, cuts)) == expected
    assert read(kind, [stream[n : n + 1] for n in range(len(stream))]) == expected


@given(events=EVENTS, end=LINE_ENDS, starts_with_mark=st.booleans())
def test_what_is_written_as_events_is_read(
    events: list[tuple[str, str, str, bool]], end: bytes, starts_with_mark: bool
) -> None:
    stream, expected = b"\xef\xbb\xbf" if starts_with_mark else b"", []
    for event, first, second, has_two in events:
        text = f"{first}\n{second}" if has_two else first
        stream += b": a comment" + end + b"id: 7" + end + b"retry: 9" + end
        stream += frames.sse(text.encode(), event, end)
        expected.append(Frame(event, text.encode()))
    assert whole(SSEDecoder, stream) == expected


@given(rows=st.lists(WORDS.filter(str.strip)), end=st.sampled_from([b"\n", b"\r\n", b"\n\n"]))
def test_what_is_written_as_lines_is_read(rows: list[str], end: bytes) -> None:
    data = [row.encode().strip() for row in rows]
    expected = [Frame("", row) for row in data if row]
    assert whole(NDJSONDecoder, b"".join(row + end for row in data)) == expected


@given(rows=st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=40))))
def test_what_is_written_as_an_event_stream_is_read(rows: list[tuple[str, bytes]]) -> None:
    stream = b"".join(frames.aws_event(event, payload) for event, payload in rows)
    assert whole(EventStreamDecoder, stream) == [Frame(*row) for row in rows]


# Server-sent events.


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: [DONE]\n\n", [("", b"[DONE]")]),
        (b"data:tight\n\n", [("", b"tight")]),
        (b"data:  two\n\n", [("", b" two")]),
        (b"data\n\n", [("", b"")]),
        (b"data: a\ndata\ndata: b\n\n", [("", b"a\n\nb")]),
        (b"event: a\nevent: b\ndata: 1\n\ndata: 2\n\n", [("b", b"1"), ("", b"2")]),
        (b"event: lost\n\ndata: 1\n\n", [("", b"1")]),
        (b"event\ndata: 1\n\n", [("", b"1")]),
        (b": keep-alive\n\n: OPENROUTER PROCESSING\n\n", []),
        (b"database: no\nDATA: no\n data: no\nidle\n\n", []),
        (b"\r\n\r\r\n\n", []),
    ],
)
def test_events_after_the_standard(stream: bytes, expected: list[tuple[str, bytes]]) -> None:
    assert whole(SSEDecoder, stream) == [Frame(*row) for row in expected]


PRETTY: Final = b'[{\n  "error": {\n    "code": 503,\n    "message": "data: }] \\" {"\n  }\n}\n]'


@pytest.mark.parametrize("after", [b"", b"\n", b"\r\n\r\n"])
@pytest.mark.parametrize("raw", [b'{"error": {"code": 503}}', PRETTY])
def test_json_without_a_field_is_a_frame_as_soon_as_it_is_whole(raw: bytes, after: bytes) -> None:
    decoder = SSEDecoder()
    found = decoder.feed(b'data: {"a": 1}\r\n\r\n' + raw + after)
    rest = decoder.end()
    assert found + rest == [Frame("", b'{"a": 1}'), Frame("", raw)]
    assert len(rest) == (not after)


@pytest.mark.parametrize("then", [b"", b"\n\n", b"\ndata: 1\n\n"])
def test_json_without_a_field_is_a_frame_where_it_breaks_off(then: bytes) -> None:
    found, rest, _ = read(SSEDecoder, [b'{"error": {\n"code": 5' + then])
    assert (found + rest)[0] == Frame("", b'{"error": {\n"code": 5')
    assert (found + rest)[1:] == ([Frame("", b"1")] if b"data" in then else [])


@pytest.mark.parametrize(
    ("stream", "left"),
    [
        (b"data: [DONE]", [("", b"[DONE]")]),
        (b"event: end\ndata: {}\n", [("end", b"{}")]),
        (b'data: {"a": "b', [("", b'{"a": "b')]),
        (b"event: en", []),
        (b"event: end\nda", []),
        (b"event: end\ndata:", []),
        (b"data: whole\n\n", []),
    ],
)
def test_the_end_gives_an_event_without_its_blank_line(
    stream: bytes, left: list[tuple[str, bytes]]
) -> None:
    assert read(SSEDecoder, [stream])[1] == [Frame(*row) for row in left]


def test_the_end_gives_a_line_without_its_end() -> None:
    assert read(NDJSONDecoder, [b'{"a":1}\n{"done":tr']) == (
        [Frame("", b'{"a":1}')],
        [Frame("", b'{"done":tr')],
        None,
    )


# The AWS event stream.


@pytest.mark.parametrize(
    ("written", "payload"),
    [
        # From the test vectors of the AWS SDKs: nothing at all, no headers, an integer header.
        ("000000100000000005c248eb7d98c8ff", b""),
        ("0000001d00000000fd528c5a7b27666f6f273a27626172277dc3653936", b"{'foo':'bar'}"),
        (
            "0000002d0000001041c424b80a6576656e742d74797065040000a00c7b27666f6f273a27626172277d36f480a0",
            b"{'foo':'bar'}",
        ),
    ],
)
def test_vectors_of_the_vendor(written: str, payload: bytes) -> None:
    assert whole(EventStreamDecoder, bytes.fromhex(written)) == [Frame("", payload)]


def test_headers_of_all_types_are_passed_over() -> None:
    sizes = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
    headers: dict[str, str | bytes] = {
        f"h{kind}": bytes((kind,)) + b"\xff" * size for kind, size in sizes.items()
    }
    headers |= {"h6": b"\x06\x00\x03abc", "h7": "text", ":event-type": "chunk"}
    message = frames.aws(headers, b"{}")
    assert whole(EventStreamDecoder, message) == [Frame("chunk", b"{}")]


def test_exceptions_and_errors_have_names() -> None:
    said: dict[str, str | bytes] = {
        ":message-type": "error",
        ":error-code": "InternalFailure",
        ":error-message": "no",
    }
    stream = frames.aws_exception("throttlingException", b"{}") + frames.aws(said)
    assert whole(EventStreamDecoder, stream) == [
        Frame("throttlingException", b"{}"),
        Frame("error", b'{"code":"InternalFailure","message":"no"}'),
    ]


@given(
    payload=st.binary(max_size=60), place=st.integers(0), bit=st.integers(1, 255), cut=st.integers()
)
def test_a_byte_that_was_flipped_is_noticed(payload: bytes, place: int, bit: int, cut: int) -> None:
    message = bytearray(frames.aws_event("chunk", payload))
    message[place % len(message)] ^= bit
    stream = frames.aws_event("first", b"1") + bytes(message) + frames.aws_event("last", b"2")
    found, _, error = read(EventStreamDecoder, pieces(stream, [cut]))
    assert found == [Frame("first", b"1")]
    assert error is not None
    assert "wrong checksum" in error


@pytest.mark.parametrize(
    ("total", "headers"),
    [(15, 0), (0, 0), (100, 85), (1 << 20, 128 * 1024 + 1), (24 * 1024 * 1024 + 17, 0)],
)
def test_absurd_lengths_are_refused_before_the_bytes_come(total: int, headers: int) -> None:
    sizes = struct.pack(">II", total, headers)
    with pytest.raises(FramingError, match="bytes of headers and"):
        EventStreamDecoder().feed(sizes + struct.pack(">I", crc32(sizes)))


@pytest.mark.parametrize(
    "value", [b"\x0a", b"\x07\x00\x09short", b"\x09" + b"u" * 15, b"\x07\x00", b""]
)
def test_headers_that_cannot_be_read(value: bytes) -> None:
    with pytest.raises(FramingError, match="headers of a frame cannot be read"):
        EventStreamDecoder().feed(frames.aws({"x": value}))


# Bounds.


@pytest.mark.parametrize(
    ("kind", "first", "mebibytes", "last"),
    [
        (SSEDecoder, b"x", 1, b""),
        (SSEDecoder, b"data: ", 1, b"\n"),
        (SSEDecoder, b'{"', 1, b'"\n'),
        (SSEDecoder, b": ", 33, b"\n"),
        (NDJSONDecoder, b"x", 1, b""),
        (NDJSONDecoder, b"x", 33, b"\n"),
    ],
)
def test_a_frame_without_end_is_refused(
    kind: Kind, first: bytes, mebibytes: int, last: bytes
) -> None:
    decoder, block = kind(), first + b"x" * (mebibytes << 20) + last
    for _ in range(MAX_FRAME // len(block)):
        assert decoder.feed(block) == []
    for _ in range(3):
        with pytest.raises(FramingError, match="larger than 32 MiB"):
            decoder.feed(block * 2)


def test_the_error_comes_after_the_frames_before_it_and_stays() -> None:
    for last in ("feed", "end"):
        decoder = EventStreamDecoder()
        assert decoder.feed(frames.aws_event("a", b"") + b"\0" * 12) == [Frame("a", b"")]
        with pytest.raises(FramingError):
            decoder.feed(b"") if last == "feed" else decoder.end()
        with pytest.raises(FramingError):
            decoder.feed(frames.aws_event("a", b""))


STREAMS: Final[dict[str, tuple[Kind, Callable[[int], bytes]]]] = {
    "events": (SSEDecoder, lambda n: frames.sse(b"x") * n),
    "a long line": (SSEDecoder, lambda n: b"data: " + b"x" * 9 * n),
    "an event of many lines": (SSEDecoder, lambda n: b"data: x\n" * n),
    "raw lines": (SSEDecoder, lambda n: b"{\n" * n),
    "rows": (NDJSONDecoder, lambda n: b"{}\n" * n),
    "messages": (EventStreamDecoder, lambda n: frames.aws_event("a", b"") * (n // 8)),
    "a long message": (EventStreamDecoder, lambda n: frames.aws_event("a", b"x" * 9 * n)[:-1]),
}


@pytest.mark.once
@pytest.mark.thorough
@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("size", [1, 1 << 30])
def test_the_work_is_linear_in_the_bytes(name: str, size: int) -> None:
    kind, stream = STREAMS[name]

    def seconds(n: int) -> float:
        data = stream(n)
        blocks = [data[at : at + size] for at in range(0, len(data), size)]
        best = float("inf")
        for _ in range(3):
            began = time.process_time()
            read(kind, blocks)
            best = min(best, time.process_time() - began)
        return best

    # Sixteen times the bytes: 16 where it is linear, 256 where it is not.
    assert seconds(32_000) < 80 * seconds(2_000) + 0.02


# What comes in a stream's place.


@pytest.mark.parametrize("lead", [b"", b"\n\n", b"\xef\xbb\xbf", b" \r\n"])
@pytest.mark.parametrize("body", [b'{\n "a": 1\n}\n', rb'{"a": "\ud800"}', b"<html>\n</html>"])
@pytest.mark.parametrize("kind", [OPENED[0], OPENED[2]])
def test_a_whole_body_is_one_frame_at_the_end(kind: Kind, body: bytes, lead: bytes) -> None:
    for blocks in ([lead + body], pieces(lead + body, range(40))):
        assert read(kind, blocks) == ([], [Frame("", body, is_body=True)], None)


@pytest.mark.parametrize("kind", OPENED)
def test_an_array_is_a_stream_that_came_at_once(kind: Kind) -> None:
    assert read(kind, [b'[{"a":1},\n', b'{"b":2}]']) == (
        [],
        [Frame("", b'{"a":1}'), Frame("", b'{"b":2}')],
        None,
    )


def test_lines_of_json_are_no_body_where_events_are_due() -> None:
    kind: Kind = OPENED[0]
    assert read(kind, [b'{"a":1}\n{"b":', b"2}\n"])[1] == [
        Frame("", b'{"a":1}'),
        Frame("", b'{"b":2}'),
    ]


@pytest.mark.parametrize("kind", OPENED)
def test_a_whole_body_has_a_bound(kind: Kind) -> None:
    block = b"<" + b"a" * (MAX_FRAME // 2)
    assert "larger than 32 MiB" in str(read(kind, [block] * 3)[2])
