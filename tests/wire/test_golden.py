"""What goes over the wire, word for word, and what is read from it: the cases of tests/golden."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest

from headrace.core.errors import ProviderError, RejectedError
from headrace.core.parts import canonical_content
from headrace.core.reply import Reply
from headrace.core.response import Usage
from headrace.wire import failure
from tests.wire.golden import CODECS, Case, cases, context, of_each_wire, reply_of, route

if TYPE_CHECKING:
    from headrace.core.response import APIResponse

HI: Final[dict[str, Case]] = {
    "openai_chat": {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]},
    "openai_responses": {
        "output": [{"type": "message", "content": [{"type": "output_text", "text": "hi"}]}]
    },
    "anthropic": {"content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"},
    "vertex_anthropic": {"content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"},
    "gemini": {"candidates": [{"content": {"parts": [{"text": "hi"}]}}]},
    "bedrock_anthropic": {"content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"},
    "bedrock_converse": {
        "output": {"message": {"role": "assistant", "content": [{"text": "hi"}]}},
        "stopReason": "end_turn",
    },
    "cohere": {
        "message": {"content": [{"type": "text", "text": "hi"}]},
        "finish_reason": "COMPLETE",
    },
    "ollama": {"message": {"content": "hi"}, "done": True, "done_reason": "stop"},
}


@pytest.mark.parametrize(("wire", "case"), of_each_wire("requests"))
def test_requests(wire: str, case: Case) -> None:
    encode, asked, way = CODECS[wire].encode, context(case), route(wire, case)
    if "refused" in case:
        with pytest.raises(RejectedError, match=case["refused"]) as refused:
            encode(asked, way)
        assert refused.value.status is None
        return
    draft = encode(asked, way, stream=case.get("stream", False))
    assert json.loads(draft.body) == case["body"]
    if "path" in case:
        assert draft.path == case["path"]
    if "headers" in case:
        assert dict(draft.headers) == case["headers"]
    expected = case.get("adaptations", [])
    assert len(draft.adaptations) == len(expected), draft.adaptations
    for words, sentence in zip(expected, draft.adaptations, strict=True):
        assert words in sentence


@pytest.mark.parametrize(("wire", "case"), of_each_wire("replies"))
def test_replies(wire: str, case: Case) -> None:
    reply = reply_of(case)
    failure.check(reply)
    decode, asked, way = CODECS[wire].decode, context(case), route(wire, case)
    if "answer" not in case:
        with pytest.raises(ProviderError) as caught:
            decode(asked, way, reply)
        check_error(caught.value, case, reply)
        return
    answer = decode(asked, way, reply)
    check_answer(answer, case["answer"])
    assert answer.reply is reply


def check_answer(answer: APIResponse[object], expected: Case) -> None:
    plain: Case = {"thinking": None, "tool_calls": [], "metadata": {}, "logprobs": None, **expected}
    assert {
        "completion": answer.completion,
        "thinking": answer.thinking,
        "tool_calls": [[call.id, call.name, call.arguments] for call in answer.tool_calls],
        "usage": answer.usage,
        "finish_reason": answer.finish_reason,
        "model": answer.model,
        "request_id": answer.request_id,
        "metadata": dict(answer.metadata),
        "logprobs": answer.logprobs,
    } == {
        **{name: value for name, value in plain.items() if name != "content"},
        "usage": Usage(*expected["usage"]) if "usage" in expected else None,
    }
    if "content" in expected:
        assert canonical_content(answer.content) == expected["content"]
    assert answer.error is None


def check_error(error: ProviderError, case: Case, reply: Reply) -> None:
    assert error.code == case["code"]
    assert error.status == reply.status
    assert case.get("says", "") in error.message
    assert error.hint == case.get("hint")
    if "details" in case:
        assert error.details == case["details"]
    if "usage" in case:
        assert error.usage == Usage(*case["usage"])
    paid_or_odd = reply.status == 200 or error.code == "unreadable_reply"
    assert error.reply == (reply if paid_or_odd else None)


@pytest.mark.parametrize("case", cases("usage.json"))
def test_usage(case: Case) -> None:
    wire = case["dialect"]
    body = {**HI[wire], "usageMetadata" if wire == "gemini" else "usage": case["usage"]}
    reply = Reply(200, json.dumps(body).encode())
    answer = CODECS[wire].decode(context({}), route(wire), reply)
    assert answer.usage == (None if case["expected"] is None else Usage(*case["expected"]))
    assert answer.completion == "hi"


@pytest.mark.parametrize("case", cases("errors.json"))
def test_errors(case: Case) -> None:
    reply = reply_of(case)
    with pytest.raises(ProviderError) as caught:
        failure.check(reply)
    check_error(caught.value, case, reply)
    assert str(reply.status) in caught.value.message
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 500
