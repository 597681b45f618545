"""What we send to Mistral is what its own client takes, and what its models write is read.

Mistral is a row of the OpenAI dialect; what differs is data on that row.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from mistralai.client.models import ChatCompletionRequest, ChatCompletionResponse

from docs.features_page import PROBES, STRICT
from headrace.core.context import RequestContext
from headrace.core.conversation import Conversation
from headrace.core.errors import RejectedError
from headrace.core.model import Model, Route
from headrace.core.params import SamplingParams
from headrace.core.parts import ToolResult
from headrace.core.reply import Reply
from headrace.registry import endpoints
from headrace.wire import openai_chat
from tests.wire.golden import cases, context

if TYPE_CHECKING:
    from headrace.wire.draft import Draft

ROW: Final = endpoints.known()["mistral"]
ROUTE: Final = Route(Model(id="mistral/m"), ROW, ROW.base_url or "")
# What only a caller can know to be a field of Mistral's.
OWN: Final = {"extra_body"}
# What a caller writes in another vendor's words.
FOREIGN: Final = {
    "a custom call",
    "tool_choice of a custom tool",
    "a vendor's tool word for word",
    "service_tier",
}


def drafted(asked: RequestContext, *, stream: bool = False) -> Draft | None:
    try:
        return openai_chat.encode(asked, ROUTE, stream=stream)
    except RejectedError:
        return None


def check(body: bytes) -> None:
    """Mistral's model takes it, and writes it again as it was: it has passed over nothing."""
    sent: dict[str, Any] = json.loads(body)
    read = ChatCompletionRequest.model_validate(sent)
    written = json.loads(read.model_dump_json(by_alias=True, exclude_unset=True))
    assert without_types(written) == without_types(sent)


def without_types(value: object) -> object:
    """The client writes the ``type`` and ``role`` of a part whether or not they were told."""
    if isinstance(value, list):
        return [without_types(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {k: without_types(v) for k, v in value.items() if k not in {"type", "role", "object"}}


ASKED: Final = [
    pytest.param(param.values[0], id=param.id)
    for param in cases("openai_chat_requests.json")
    if "body" in param.values[0]
    and param.id not in FOREIGN
    and not OWN & (param.values[0].get("params") or {}).keys()
]


@pytest.mark.parametrize("case", ASKED)
def test_a_request_is_of_the_types_of_the_sdk(case: dict[str, Any]) -> None:
    asked = context({name: case[name] for name in case if name not in {"endpoint", "model"}})
    draft = drafted(asked, stream=case.get("stream", False))
    if draft is not None:
        check(draft.body)


@pytest.mark.parametrize("feature", PROBES)
def test_a_feature_is_of_the_types_of_the_sdk(feature: str) -> None:
    probe = PROBES[feature]
    draft = (
        drafted(probe.context, stream=probe.stream) if probe.context.operation == "chat" else None
    )
    if draft is not None:
        check(draft.body)


def test_its_names_are_on_the_wire() -> None:
    params = STRICT | SamplingParams(seed=7, max_tokens=5, top_k=3)
    said = json.loads(openai_chat.encode(RequestContext(prompt="hi", params=params), ROUTE).body)
    assert (said["random_seed"], said["max_tokens"], said["top_k"]) == (7, 5, 3)
    assert "seed" not in said


ANSWER: Final = {
    "id": "cmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "magistral-medium",
    "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13},
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                    {"type": "text", "text": "Let me see."},
                ],
                "tool_calls": [
                    {"id": "a1b2c3d4e", "function": {"name": "f", "arguments": {"a": 1}}}
                ],
            },
        }
    ],
}


def test_what_its_models_write_is_read_and_goes_back() -> None:
    written = ChatCompletionResponse.model_validate(ANSWER).model_dump_json(by_alias=True)
    asked = RequestContext(prompt="hi")
    answer = openai_chat.decode(asked, ROUTE, Reply(200, written.encode()))
    assert (answer.completion, answer.thinking) == ("Let me see.", "hm")
    assert [(c.name, json.loads(c.arguments)) for c in answer.tool_calls] == [("f", {"a": 1})]
    assert answer.finish_reason == "tool"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 13
    assert answer.message is not None
    prompt = Conversation().user("hi").add(answer.message).tool(ToolResult("a1b2c3d4e", "1"))
    draft = openai_chat.encode(RequestContext(prompt=prompt, params=STRICT), ROUTE)
    check(draft.body)
    result = json.loads(draft.body)["messages"][-1]
    assert (result["tool_call_id"], result["name"]) == ("a1b2c3d4e", "f")


def test_names_of_speakers_are_left_out_visibly() -> None:
    prompt = Conversation.of([{"role": "user", "content": "Mine!", "name": "ann"}])
    row = endpoints.known()["mistral"]
    way = Route(Model(id="mistral/m"), row, "https://example.com")
    draft = openai_chat.encode(RequestContext(prompt=prompt), way)
    assert json.loads(draft.body)["messages"] == [{"role": "user", "content": "Mine!"}]
    assert draft.adaptations == ("the name of a message is left out: mistral has none",)
