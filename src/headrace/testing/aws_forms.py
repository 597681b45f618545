"""How Bedrock streams an answer, after botocore's model of it; a word is a frame."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import TYPE_CHECKING, Final

import orjson

from headrace.testing.frames import aws_event, aws_exception

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from headrace.testing.server.dialects import Asked, Said

CONTENT_TYPE: Final = "application/vnd.amazon.eventstream"
_WORD: Final = re.compile(r"\S+\s*|\s+")
# An event that nobody knows between frames; no comments, which this framing has none of.
BETWEEN: Final = (aws_event("keepAlive", b"{}"), b"", CONTENT_TYPE)


def converse(answer: Mapping[str, object], asked: Asked, said: Said) -> Iterator[bytes]:
    """The events of ConverseStream."""
    del asked
    at: dict[str, object] = {"contentBlockIndex": 0}
    yield _event("messageStart", {"role": "assistant"})
    for word in _WORD.findall(said.text):
        yield _event("contentBlockDelta", {**at, "delta": {"text": word}, "p": "abcdefgh"})
    yield _event("contentBlockStop", at)
    yield _event("messageStop", {"stopReason": answer["stopReason"]})
    yield _event("metadata", {"usage": answer["usage"], "metrics": answer["metrics"]})


def chunk(event: Mapping[str, object]) -> bytes:
    """An event of a model's own, as InvokeModelWithResponseStream wraps it."""
    return _event("chunk", {"bytes": b64encode(orjson.dumps(event)).decode(), "p": "abcd"})


def error(body: Mapping[str, object]) -> bytes:
    """An exception in the stream."""
    return aws_exception("serviceUnavailableException", orjson.dumps(body))


def _event(name: str, body: Mapping[str, object]) -> bytes:
    return aws_event(name, orjson.dumps(body))
