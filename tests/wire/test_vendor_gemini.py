"""Google's own types take what we send, word for word, and we read what they write."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from google.genai import types
from pydantic import TypeAdapter

from headrace.core.errors import ContentFilterError, OverloadedError
from headrace.core.parts import Opaque, Text, Thinking, ToolCall
from headrace.core.reply import Reply
from headrace.core.response import Usage
from headrace.wire import gemini
from tests.wire.golden import GOLDEN, Case, context, route

pytestmark = pytest.mark.once

# Of each field of a request's body the type that Google has for it.
FIELDS: Final[dict[str, TypeAdapter[Any]]] = {
    "contents": TypeAdapter(list[types.Content]),
    "systemInstruction": TypeAdapter(types.Content),
    "generationConfig": TypeAdapter(types.GenerationConfig),
    "tools": TypeAdapter(list[types.Tool]),
    "toolConfig": TypeAdapter(types.ToolConfig),
    "safetySettings": TypeAdapter(list[types.SafetySetting]),
    "serviceTier": TypeAdapter(types.ServiceTier),
    "cachedContent": TypeAdapter(str),
}
REQUESTS: Final = [
    pytest.param(case, id=case["case"])
    for case in json.loads((GOLDEN / "gemini_requests.json").read_text(encoding="utf-8"))
    if "body" in case and case.get("sdk", True)
]


def same_alphabet(value: object) -> object:
    """Google's types write base64 in its other alphabet."""
    return json.loads(json.dumps(value).replace("+", "-").replace("/", "_"))


@pytest.mark.parametrize("case", REQUESTS)
def test_what_we_send_is_what_their_types_write(case: Case) -> None:
    body = json.loads(gemini.encode(context(case), route("gemini", case)).body)
    for name, value in body.items():
        read = FIELDS[name].validate_python(value)
        written = FIELDS[name].dump_python(read, mode="json", by_alias=True, exclude_none=True)
        assert same_alphabet(written) == same_alphabet(value)


def test_their_types_would_notice() -> None:
    for name, value in (
        ("contents", [{"role": "user", "parts": [{"texts": "hi"}]}]),
        ("generationConfig", {"max_tokens": 1, "top": 2}),
        ("tools", [{"type": "web_search"}]),
        ("safetySettings", {"a": "b"}),
    ):
        with pytest.raises(ValueError, match=r"Extra inputs|valid list"):
            FIELDS[name].validate_python(value)


def decoded(response: types.GenerateContentResponse) -> Any:  # noqa: ANN401 - an answer of any kind
    body = response.model_dump_json(by_alias=True, exclude_none=True).encode()
    return gemini.decode(context({}), route("gemini"), Reply(200, body))


def theirs() -> types.GenerateContentResponse:
    """With a part of each kind."""
    call = types.FunctionCall(id="c1", name="f", args={"a": 1})
    code = types.ExecutableCode(code="1", language=types.Language.PYTHON)
    ran = types.CodeExecutionResult(outcome=types.Outcome.OUTCOME_OK, output="1")
    parts = [
        types.Part(text="hm", thought=True, thought_signature=b"s1"),
        types.Part(executable_code=code),
        types.Part(code_execution_result=ran),
        types.Part(text="so", thought_signature=b"s2"),
        types.Part(inline_data=types.Blob(mime_type="image/png", data=b"png")),
        types.Part(function_call=call, thought_signature=b"s3"),
    ]
    chosen = types.LogprobsResultCandidate(token="so", token_id=1, log_probability=-0.5)
    rating = types.SafetyRating(
        category=types.HarmCategory.HARM_CATEGORY_HARASSMENT, probability=types.HarmProbability.LOW
    )
    candidate = types.Candidate(
        content=types.Content(role="model", parts=parts),
        finish_reason=types.FinishReason.STOP,
        safety_ratings=[rating],
        grounding_metadata=types.GroundingMetadata(web_search_queries=["q"]),
        logprobs_result=types.LogprobsResult(chosen_candidates=[chosen]),
    )
    usage = types.GenerateContentResponseUsageMetadata(
        prompt_token_count=10,
        cached_content_token_count=4,
        candidates_token_count=5,
        thoughts_token_count=3,
        tool_use_prompt_token_count=2,
        total_token_count=20,
    )
    return types.GenerateContentResponse(
        response_id="r1", model_version="m-1", candidates=[candidate], usage_metadata=usage
    )


def test_what_they_write_we_read() -> None:
    answer = decoded(theirs())
    assert (answer.completion, answer.thinking, answer.finish_reason) == ("so", "hm", "tool")
    assert (answer.request_id, answer.model) == ("r1", "m-1")
    assert answer.usage == Usage(8, 8, 4, 0, 3)
    assert answer.tool_calls == (ToolCall("c1", "f", '{"a":1}', signature="czM="),)
    assert [type(part) for part in answer.content] == [
        Thinking,
        Opaque,
        Opaque,
        Text,
        Opaque,
        Opaque,
        ToolCall,
    ]
    assert answer.logprobs["chosenCandidates"][0]["logProbability"] == -0.5
    assert answer.metadata["grounding"] == {"webSearchQueries": ["q"]}
    assert answer.metadata["safety_ratings"][0]["category"] == "HARM_CATEGORY_HARASSMENT"
    assert len(answer.metadata["vendor_calls"]) == 2


@pytest.mark.parametrize("reason", types.FinishReason)
def test_each_finish_reason_of_theirs_is_an_answer_or_a_typed_error(
    reason: types.FinishReason,
) -> None:
    content = types.Content(role="model", parts=[types.Part(text="so")])
    response = types.GenerateContentResponse(
        candidates=[types.Candidate(content=content, finish_reason=reason)]
    )
    if reason in {
        types.FinishReason.MALFORMED_FUNCTION_CALL,
        types.FinishReason.MALFORMED_RESPONSE,
        types.FinishReason.TOO_MANY_TOOL_CALLS,
        types.FinishReason.UNEXPECTED_TOOL_CALL,
    }:
        with pytest.raises(OverloadedError):
            decoded(response)
        return
    answer = decoded(response)
    assert answer.completion == "so"
    assert answer.finish_reason in {"stop", "length", "filtered", "other"}
    assert answer.metadata["finish_reason"] == reason.value


@pytest.mark.parametrize("reason", types.BlockedReason)
def test_each_blocked_prompt_of_theirs_is_told(reason: types.BlockedReason) -> None:
    feedback = types.GenerateContentResponsePromptFeedback(block_reason=reason)
    with pytest.raises(ContentFilterError) as caught:
        decoded(types.GenerateContentResponse(prompt_feedback=feedback))
    assert caught.value.details == {"reason": reason.value}
