"""A client asks Bedrock: what arrives is signed as AWS signs it, whatever the model is called."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import orjson
import pytest

from headrace import Conversation, LLMClient, ToolResult
from headrace.registry import endpoints
from tests.adapters.aws.test_sending import PLAIN, VARIABLE, Here, Way, way
from tests.adapters.aws.test_signing import AWKWARD

if TYPE_CHECKING:
    from headrace.core.response import APIResponse

USAGE: Final = {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}
YES: Final = orjson.dumps(
    {
        "output": {"message": {"role": "assistant", "content": [{"text": "yes"}]}},
        "stopReason": "end_turn",
        "usage": USAGE,
        "metrics": {"latencyMs": 1},
    }
)
CLAUDE: Final = orjson.dumps(
    {
        "type": "message",
        "content": [{"type": "text", "text": "yes"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }
)
NAMES: Final = {name: path for name, path in AWKWARD.items() if name == name.strip()}
ANSWERS: Final = {
    "bedrock_converse": YES,
    "bedrock_anthropic": CLAUDE,
    "anthropic": CLAUDE,
    "openai_chat": b'{"choices":[{"message":{"content":"yes"},"finish_reason":"stop"}]}',
    "openai_responses": (
        b'{"output":[{"type":"message","content":[{"type":"output_text","text":"yes"}]}]}'
    ),
}


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", PLAIN.access_key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PLAIN.secret_access_key.reveal())
    monkeypatch.setenv("AWS_REGION", "eu-west-3")


async def ask(there: Way, model: str, prompt: Any = "hello") -> APIResponse[Any]:  # noqa: ANN401 - any prompt
    async with LLMClient(model, catalog=Here(there)) as client:
        return await client.ask(prompt)


@pytest.mark.parametrize(("name", "written"), NAMES.items())
def test_any_model_is_reached_and_what_arrives_is_signed(name: str, written: str) -> None:
    async def main() -> None:
        async with way() as there:
            there.server.replies = [(200, YES)]
            response = await ask(there, f"bedrock/{name}")
            assert response.completion == "yes"
            assert response.usage is not None
            assert response.usage.total_tokens == 5
            assert there.checked(PLAIN) == f"/model/{written}/converse"
            sent = orjson.loads(there.server.seen[-1][2])
            assert sent == {"messages": [{"role": "user", "content": [{"text": "hello"}]}]}

    asyncio.run(main())


ROWS: Final = {name: row for name, row in endpoints.known().items() if row.auth == "aws"}


@pytest.mark.parametrize("name", ROWS)
def test_every_endpoint_of_aws_answers_and_is_signed_for_its_service(name: str) -> None:
    row = ROWS[name]
    assert row.base_url is not None
    host, _, path = row.base_url.removeprefix("https://").partition("/")
    assert "{region}" in host

    async def main() -> None:
        async with way() as there:
            base_url = f"{there.server.address}/{path}".rstrip("/")
            there.route = replace(there.route, endpoint=row, base_url=base_url)
            there.server.replies = [(200, ANSWERS[row.wire])]
            assert (await ask(there, f"{name}/any-v1:0")).completion == "yes"
            assert there.checked(PLAIN, row.service or "bedrock").startswith(f"/{path}")

    asyncio.run(main())


def test_a_bearer_key_goes_instead_of_a_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "bedrock-api-key-0123456789")

    async def main() -> None:
        async with way() as there:
            there.server.replies = [(200, YES)]
            there.route = replace(there.route, key=replace(there.route.key, aws=None))
            assert (await ask(there, "bedrock/m")).completion == "yes"
            headers = there.server.seen[-1][1]
            assert headers["authorization"] == "Bearer bedrock-api-key-0123456789"

    asyncio.run(main())


def test_a_name_that_no_path_holds_is_that_rows_error_and_nothing_is_sent() -> None:
    async def main() -> None:
        async with way() as there:
            response = await ask(there, "bedrock/..")
            assert response.error is not None
            assert response.error.code == "rejected"
            assert "give its id or its ARN" in response.error.message
            assert there.server.seen == []

    asyncio.run(main())


def test_an_answer_can_be_sent_back_as_it_came() -> None:
    """Signed and redacted thinking, a call, and the result of it."""
    said = [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}},
        {"reasoningContent": {"redactedContent": "AAEC"}},
        {"text": "let me see"},
        {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"x": 1}}},
    ]
    body = {"output": {"message": {"content": said}}, "stopReason": "tool_use", "usage": USAGE}

    async def main() -> None:
        async with way() as there:
            there.server.replies = [(200, orjson.dumps(body)), (200, YES)]
            first = await ask(there, "bedrock/m")
            assert first.thinking == "hm"
            assert first.finish_reason == "tool"
            assert first.message is not None
            asked = Conversation().user("hello").add(first.message).tool(ToolResult("t1", "2"))
            await ask(there, "bedrock/m", asked)
            sent = orjson.loads(there.server.seen[-1][2])
            assert sent["messages"][1] == {"role": "assistant", "content": said}

    asyncio.run(main())
