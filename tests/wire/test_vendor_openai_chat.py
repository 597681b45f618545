"""What we send is what OpenAI's own client takes; what its models write, we read.

The client's types are TypedDicts, which pass over fields that they do not know: so what they let
through has to be all that was sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from pydantic import TypeAdapter, ValidationError

from headrace.core.errors import ContentFilterError
from headrace.core.reply import Reply
from headrace.wire import openai_chat
from tests.wire.golden import Case, cases, context, route
from tests.wire.test_golden import check_answer
from tests.wire.test_golden_streams import answered, plain

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet

    from headrace.core.chunks import Chunk

pytestmark = pytest.mark.once

WHOLE: Final[TypeAdapter[Any]] = TypeAdapter(CompletionCreateParamsNonStreaming)
STREAMED: Final[TypeAdapter[Any]] = TypeAdapter(CompletionCreateParamsStreaming)
# What only other servers take, by the fields of a row or the parameters that say so.
OTHERS: Final = {"max_tokens_field", "media", "names_tool_results", "renames", "replays"}
OTHERS_PARAMS: Final = {"extra_body", "min_p", "top_k"}


def is_openais(case: Case) -> bool:
    row, params = case.get("endpoint", {}), case.get("params") or {}
    foreign = OTHERS & row.keys() or OTHERS_PARAMS & (
        params.keys() - set(row.get("unsupported", ()))
    )
    marks = row.get("cache_marks") == "cache_control"
    thinks = row.get("thinking", "reasoning_effort") != "reasoning_effort"
    typed = any("vendor_tools" in row or "vendor" in tool for tool in case.get("tools", ()))
    return "body" in case and not (foreign or marks or thinks or typed)


def chosen(name: str) -> list[ParameterSet]:
    return [param for param in cases(name) if is_openais(param.values[0])]


def realised(value: object) -> object:
    """Lists for the lazy iterables that pydantic makes of the client's types."""
    if isinstance(value, Mapping):
        return {key: realised(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [realised(item) for item in value]
    return value


@pytest.mark.parametrize("case", chosen("openai_chat_requests.json"))
def test_what_we_send_is_what_the_client_takes(case: Case) -> None:
    stream = case.get("stream", False)
    draft = openai_chat.encode(context(case), route("openai_chat", case), stream=stream)
    body = json.loads(draft.body)
    taken = (STREAMED if stream else WHOLE).validate_python(body)
    assert realised(taken) == body


def test_a_field_that_the_client_does_not_know_is_seen() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi", "mood": "good"}]}
    assert realised(WHOLE.validate_python(body)) != body


TOKEN: Final = {"token": "hi", "bytes": [104], "logprob": -0.5, "top_logprobs": []}
CITED: Final = {"url": "https://a.example", "title": "t", "start_index": 0, "end_index": 2}
FUNCTION: Final = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CUSTOM: Final = {"id": "c2", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}}
SOUND: Final = {"id": "au1", "data": "QUJD", "expires_at": 9, "transcript": "hi"}
USAGE: Final = {
    "prompt_tokens": 9,
    "completion_tokens": 4,
    "total_tokens": 13,
    "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 1, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 3, "accepted_prediction_tokens": 0},
}


def completion(message: Case, finish: str = "stop") -> Reply:
    """A reply as the client's own models write it; they refuse what they do not know."""
    made = ChatCompletion.model_validate(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": "m-1",
            "service_tier": "priority",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": finish,
                    "message": {"role": "assistant", **message},
                    "logprobs": {"content": [TOKEN]},
                }
            ],
            "usage": USAGE,
        }
    )
    assert not made.choices[0].message.model_extra
    return Reply(200, made.model_dump_json().encode())


@pytest.mark.parametrize("finish", ["stop", "length", "tool_calls", "content_filter"])
def test_what_its_models_write_we_read(finish: str) -> None:
    annotated = {"type": "url_citation", "url_citation": CITED}
    message = {"content": "hi", "annotations": [annotated], "tool_calls": [FUNCTION, CUSTOM]}
    answer = openai_chat.decode(context({}), route("openai_chat"), completion(message, finish))
    assert answer.completion == "hi"
    assert [(call.name, call.kind) for call in answer.tool_calls] == [
        ("f", "function"),
        ("sql", "custom"),
    ]
    assert answer.usage is not None
    assert answer.usage.to_dict() == {
        "input_tokens": 3,
        "output_tokens": 4,
        "cache_read_tokens": 5,
        "cache_write_tokens": 1,
        "reasoning_tokens": 3,
        "total_tokens": 13,
    }
    assert answer.metadata["annotations"] == [annotated]
    assert answer.metadata["service_tier"] == "priority"
    assert answer.logprobs == {"content": [TOKEN], "refusal": None}
    assert answer.message is not None


def test_its_refusals_and_sounds() -> None:
    with pytest.raises(ContentFilterError):
        openai_chat.decode(context({}), route("openai_chat"), completion({"refusal": "No."}))
    answer = openai_chat.decode(context({}), route("openai_chat"), completion({"audio": SOUND}))
    assert answer.completion == "hi"
    assert answer.metadata["audio"] == SOUND


def rewritten(frame: object) -> object:
    """A chunk as the client's model of it writes it, with all its fields; None: it is not one."""
    if not isinstance(frame, dict):
        return frame
    try:
        return ChatCompletionChunk.model_validate(frame).model_dump(mode="json")
    except ValidationError:
        return None


def as_its_models_write(case: Case) -> Case:
    return {**case, "frames": [[event, rewritten(data)] for event, data in case["frames"]]}


OF_ITS_MODELS: Final = [
    pytest.param(case, id=case["case"])
    for case in (
        as_its_models_write(param.values[0]) for param in cases("openai_chat_streams.json")
    )
    if "answer" in case and all(data is not None for _, data in case["frames"])
]


@pytest.mark.parametrize("case", OF_ITS_MODELS)
def test_the_chunks_that_its_models_write_we_fold(case: Case) -> None:
    chunks: list[Chunk] = []
    whole = {name: value for name, value in case.items() if name != "body"}
    check_answer(answered("openai_chat", whole, case["frames"], chunks), case["answer"])
    assert [plain(chunk) for chunk in chunks] == case["chunks"]


def test_its_models_know_most_of_the_golden_streams() -> None:
    assert len(OF_ITS_MODELS) > 20
