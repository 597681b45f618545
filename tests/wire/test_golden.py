"""What goes over the wire, word for word, and what is read from it: the cases of tests/golden."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import pytest

from headrace.core.conversation import Conversation
from headrace.core.errors import ProviderError, RejectedError
from headrace.core.model import Model
from headrace.core.params import SamplingParams
from headrace.core.reply import Reply
from headrace.core.response import APIResponse, Usage
from headrace.wire import anthropic, failure, gemini, openai_chat, openai_responses

if TYPE_CHECKING:
    from collections.abc import Callable

Case: TypeAlias = dict[str, Any]
GOLDEN: Final = Path(__file__).resolve().parents[1] / "golden"
MODEL: Final = Model(id="endpoint/m")
DECODE: Final[dict[str, Callable[[Reply, Model], APIResponse[object]]]] = {
    "openai_chat": openai_chat.decode,
    "openai_responses": openai_responses.decode,
    "anthropic": anthropic.decode,
    "gemini": gemini.decode,
}


def cases(name: str) -> list[Any]:
    """The cases of one golden file, each under its own name."""
    found: list[Case] = json.loads((GOLDEN / name).read_text(encoding="utf-8"))
    return [pytest.param(case, id=case["case"]) for case in found]


def reply_of(case: Case) -> Reply:
    body = case["text"] if "text" in case else json.dumps(case["body"])
    return Reply(case.get("status", 200), body.encode(), case["headers"])


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


@pytest.mark.parametrize("case", cases("openai_chat_requests.json"))
def test_requests_to_openai_chat(case: Case) -> None:
    named = {"max_tokens_field": case["max_tokens_field"]} if "max_tokens_field" in case else {}
    prompt, params = Conversation.of(case["prompt"]), SamplingParams(**case["params"])
    if "refused" in case:
        with pytest.raises(RejectedError, match=case["refused"]):
            openai_chat.encode(prompt, params, MODEL)
        return
    body = openai_chat.encode(prompt, params, MODEL, **named)
    assert json.loads(body) == case["body"]
    if not case["params"]:
        assert openai_chat.encode(prompt, None, MODEL) == body


@pytest.mark.parametrize("case", cases("openai_responses_requests.json"))
def test_requests_to_openai_responses(case: Case) -> None:
    check_request(lambda prompt, params: openai_responses.encode(prompt, params, MODEL), case)


@pytest.mark.parametrize("case", cases("gemini_requests.json"))
def test_requests_to_gemini(case: Case) -> None:
    check_request(gemini.encode, case)


def check_request(
    encode: Callable[[Conversation, SamplingParams | None], bytes], case: Case
) -> None:
    prompt, params = Conversation.of(case["prompt"]), SamplingParams(**case["params"])
    if "refused" in case:
        with pytest.raises(RejectedError, match=case["refused"]):
            encode(prompt, params)
        return
    body = encode(prompt, params)
    assert json.loads(body) == case["body"]
    if not case["params"]:
        assert encode(prompt, None) == body


@pytest.mark.parametrize("case", cases("anthropic_requests.json"))
def test_requests_to_anthropic(case: Case) -> None:
    prompt, params = Conversation.of(case["prompt"]), SamplingParams(**case["params"])
    model = Model(id="endpoint/m", max_output_tokens=case.get("max_output_tokens"))
    if "refused" in case:
        with pytest.raises(RejectedError, match=case["refused"]) as refused:
            anthropic.encode(prompt, params, model)
        assert refused.value.status is None
        return
    body = anthropic.encode(prompt, params, model)
    assert json.loads(body) == case["body"]
    assert anthropic.headers(params) == (("anthropic-version", case["version"]),)
    if not case["params"]:
        assert anthropic.encode(prompt, None, model) == body


@pytest.mark.parametrize("case", cases("openai_chat_replies.json"))
def test_replies_of_openai_chat(case: Case) -> None:
    check_reply(openai_chat.decode, case)


@pytest.mark.parametrize("case", cases("openai_responses_replies.json"))
def test_replies_of_openai_responses(case: Case) -> None:
    check_reply(openai_responses.decode, case)


@pytest.mark.parametrize("case", cases("gemini_replies.json"))
def test_replies_of_gemini(case: Case) -> None:
    check_reply(gemini.decode, case)


@pytest.mark.parametrize("case", cases("anthropic_replies.json"))
def test_replies_of_anthropic(case: Case) -> None:
    check_reply(anthropic.decode, case)


def check_reply(decode: Callable[[Reply, Model], APIResponse[object]], case: Case) -> None:
    reply = reply_of(case)
    failure.check(reply)
    if "answer" not in case:
        with pytest.raises(ProviderError) as caught:
            decode(reply, MODEL)
        check_error(caught.value, case, reply)
        return
    answer, expected = decode(reply, MODEL), case["answer"]
    assert {
        "completion": answer.completion,
        "thinking": answer.thinking,
        "tool_calls": [[call.id, call.name, call.arguments] for call in answer.tool_calls],
        "usage": answer.usage,
        "finish_reason": answer.finish_reason,
        "model": answer.model,
        "request_id": answer.request_id,
        "metadata": dict(answer.metadata),
    } == {
        "thinking": None,
        "tool_calls": [],
        "metadata": {},
        **expected,
        "usage": Usage(*expected["usage"]) if "usage" in expected else None,
    }
    assert answer.reply is reply
    assert answer.error is None


@pytest.mark.parametrize("case", cases("usage.json"))
def test_usage(case: Case) -> None:
    bodies: dict[str, Case] = {
        "openai_chat": {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]},
        "openai_responses": {
            "output": [{"type": "message", "content": [{"type": "output_text", "text": "hi"}]}]
        },
        "anthropic": {"content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"},
        "gemini": {"candidates": [{"content": {"parts": [{"text": "hi"}]}}]},
    }
    name = "usageMetadata" if case["dialect"] == "gemini" else "usage"
    body = {**bodies[case["dialect"]], name: case["usage"]}
    answer = DECODE[case["dialect"]](Reply(200, json.dumps(body).encode()), MODEL)
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
