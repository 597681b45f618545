"""How each API streams an answer, says that it went wrong, and keeps a connection alive.

Written after the vendors' references; a word is a frame.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import orjson

from headrace.testing import aws_forms
from headrace.testing.frames import sse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from headrace.testing.seen import DialectName
    from headrace.testing.server.dialects import Asked, Said

_WORD: Final = re.compile(r"\S+\s*|\s+")
_COMMENT: Final = b": keep-alive\n\n"
_PING: Final = {"type": "ping"}


class Form(NamedTuple):
    """What an API's streams are made of."""

    frames: Callable[[Mapping[str, object], Asked, Said], Iterator[bytes]]
    """The frames of a whole answer, from its body."""
    error: Callable[[Mapping[str, object]], bytes]
    """The frame of an error, from its body."""
    alive: bytes
    """What comes between frames and means nothing."""
    comment: bytes = b": PROCESSING\n\n"
    """What a server on the way puts between frames, where the framing has comments."""
    content_type: str = "text/event-stream"


def _chat(answer: Mapping[str, object], asked: Asked, said: Said) -> Iterator[bytes]:
    unset: dict[str, object] = {"usage": None} if asked.with_usage else {}
    chunk = {k: v for k, v in answer.items() if k != "usage"} | {"object": "chat.completion.chunk"}

    def choice(delta: Mapping[str, object], finish: str | None = None) -> bytes:
        row = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return sse(orjson.dumps({**chunk, "choices": [row], **unset}))

    yield choice({"role": "assistant", "content": "", "refusal": None})
    for word in _WORD.findall(said.text):
        yield choice({"content": word})
    yield choice({}, "length" if said.is_cut else "stop")
    if asked.with_usage:
        yield sse(orjson.dumps({**chunk, "choices": [], "usage": answer["usage"]}))
    yield sse(b"[DONE]")


def _chat_error(body: Mapping[str, object]) -> bytes:
    return sse(orjson.dumps(body))


def _responses(answer: Mapping[str, object], asked: Asked, said: Said) -> Iterator[bytes]:
    del asked
    for number, (event, fields) in enumerate(_response_events(answer, said)):
        yield _named({"type": event, **fields, "sequence_number": number})


def _response_events(
    answer: Mapping[str, object], said: Said
) -> Iterator[tuple[str, dict[str, object]]]:
    [item] = cast("list[dict[str, object]]", answer["output"])
    [part] = cast("list[dict[str, object]]", item["content"])
    begun = {**answer, "status": "in_progress", "output": [], "usage": None}
    begun["incomplete_details"] = None
    of_item: dict[str, object] = {"output_index": 0}
    of_part: dict[str, object] = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    empty = {**item, "status": "in_progress", "content": []}
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    yield "response.output_item.added", {**of_item, "item": empty}
    yield "response.content_part.added", {**of_part, "part": {**part, "text": ""}}
    for word in _WORD.findall(said.text):
        yield "response.output_text.delta", {**of_part, "delta": word, "logprobs": []}
    yield "response.output_text.done", {**of_part, "text": said.text, "logprobs": []}
    yield "response.content_part.done", {**of_part, "part": part}
    yield "response.output_item.done", {**of_item, "item": item}
    yield f"response.{answer['status']}", {"response": answer}


def _responses_error(body: Mapping[str, object]) -> bytes:
    said = cast("dict[str, object]", body["error"])
    code = said["code"] or said["type"]
    told = {"type": "error", "code": code, "message": said["message"], "param": None}
    return _named({**told, "sequence_number": 0})


def _messages(answer: Mapping[str, object], asked: Asked, said: Said) -> Iterator[bytes]:
    del asked
    yield from map(_named, _message_events(answer, said))


def _invoked(answer: Mapping[str, object], asked: Asked, said: Said) -> Iterator[bytes]:
    del asked
    yield from map(aws_forms.chunk, _message_events(answer, said))


def _message_events(answer: Mapping[str, object], said: Said) -> Iterator[dict[str, object]]:
    usage = cast("dict[str, object]", answer["usage"])
    message = {**answer, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 1}}
    at: dict[str, object] = {"index": 0}
    yield {"type": "message_start", "message": message}
    block = {"type": "text", "text": ""}
    yield {"type": "content_block_start", **at, "content_block": block}
    yield dict(_PING)
    for word in _WORD.findall(said.text):
        delta = {"type": "text_delta", "text": word}
        yield {"type": "content_block_delta", **at, "delta": delta}
    yield {"type": "content_block_stop", **at}
    end = {"stop_reason": answer["stop_reason"], "stop_sequence": None}
    told = {"output_tokens": said.output_tokens}
    yield {"type": "message_delta", "delta": end, "usage": told}
    yield {"type": "message_stop"}


def _generated(answer: Mapping[str, object], asked: Asked, said: Said) -> Iterator[bytes]:
    words, told = _WORD.findall(said.text) or [""], 0
    for number, word in enumerate(words, 1):
        told += bool(word.strip())
        content = {"role": "model", "parts": [{"text": word}]}
        candidate: dict[str, object] = {"index": 0, "content": content}
        if number == len(words):
            candidate["finishReason"] = "MAX_TOKENS" if said.is_cut else "STOP"
        usage = {
            "promptTokenCount": asked.input_tokens,
            "candidatesTokenCount": told,
            "totalTokenCount": asked.input_tokens + told,
        }
        body = {**answer, "candidates": [candidate], "usageMetadata": usage}
        yield sse(orjson.dumps(body), end=b"\r\n")


def _generated_error(body: Mapping[str, object]) -> bytes:
    """As lines of JSON without a field, which is how Gemini breaks off."""
    return orjson.dumps(body, option=orjson.OPT_INDENT_2).replace(b"\n", b"\r\n") + b"\r\n"


def _cohere(answer: Mapping[str, object], asked: Asked, said: Said) -> Iterator[bytes]:
    del asked
    begun = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    yield _named({"type": "message-start", "id": answer["id"], "delta": {"message": begun}})
    empty = {"type": "text", "text": ""}
    at: dict[str, object] = {"index": 0}
    yield _named({"type": "content-start", **at, "delta": {"message": {"content": empty}}})
    for word in _WORD.findall(said.text):
        delta = {"message": {"content": {"text": word}}}
        yield _named({"type": "content-delta", **at, "delta": delta})
    yield _named({"type": "content-end", **at})
    end = {name: answer[name] for name in ("finish_reason", "usage")}
    yield _named({"type": "message-end", "delta": end})


def _cohere_error(body: Mapping[str, object]) -> bytes:
    """A generation that broke down ends with its reason."""
    delta = {"finish_reason": "ERROR", "error": body["message"]}
    return _named({"type": "message-end", "delta": delta})


def _ollama(answer: Mapping[str, object], asked: Asked, said: Said) -> Iterator[bytes]:
    del asked
    begun = {name: answer[name] for name in ("model", "created_at")}
    for word in _WORD.findall(said.text):
        message = {"role": "assistant", "content": word}
        yield _line({**begun, "message": message, "done": False})
    yield _line({**answer, "message": {"role": "assistant", "content": ""}})


def _line(body: Mapping[str, object]) -> bytes:
    return orjson.dumps(body) + b"\n"


def _named(body: Mapping[str, object]) -> bytes:
    """An event that is named as the type in its data."""
    return sse(orjson.dumps(body), str(body["type"]))


FORMS: Final[dict[DialectName, Form]] = {
    "openai": Form(_chat, _chat_error, _COMMENT),
    "openai_responses": Form(_responses, _responses_error, _COMMENT),
    "anthropic": Form(_messages, _named, _named(_PING)),
    "gemini": Form(_generated, _generated_error, _COMMENT),
    "bedrock_anthropic": Form(_invoked, aws_forms.error, *aws_forms.BETWEEN),
    "bedrock": Form(aws_forms.converse, aws_forms.error, *aws_forms.BETWEEN),
    "cohere": Form(_cohere, _cohere_error, _COMMENT),
    "ollama": Form(_ollama, _line, b"\n", b"", "application/x-ndjson"),
}
