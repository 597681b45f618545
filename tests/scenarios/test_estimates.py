"""What is known of prompts before they are sent: tokens and costs, with and without extras."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from headrace import (
    CacheBreakpoint,
    Conversation,
    Image,
    LLMClient,
    Message,
    Model,
    OutputSchema,
    Price,
    RequestContext,
    SamplingParams,
    Text,
    TokenCount,
    Tool,
    ToolCall,
    ToolResult,
)
from headrace.core.errors import BadRowError, ConfigError
from headrace.core.operations import Embed
from headrace.policy.reservation import PER_IMAGE, PER_MESSAGE
from headrace.testing import Answer, Script
from tests.clients import made, quiet, virtual

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.once
ROOT: Final = Path(__file__).resolve().parents[2]
OWN: Final = Model(
    id="openai/m", price=Price(input=Decimal(2), output=Decimal(10)), max_output_tokens=500
)


def own(**options: Any) -> LLMClient:
    return made(Script(), OWN, **options)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def test_tools_and_a_schema_of_a_call_cost_what_those_of_a_row_do() -> None:
    shape = OutputSchema.of(dict[str, int])
    row = RequestContext(prompt="hi", tools=(Tool.of(add),), output_schema=shape)
    with own() as client:
        bare = client.estimate_cost("hi").input_tokens
        of_call = client.estimate_cost("hi", tools=[add], output_schema=dict[str, int])
        assert of_call == client.estimate_cost(row)
        with_tools = client.estimate_cost("hi", tools=[add]).input_tokens
        assert bare < with_tools < of_call.input_tokens
        assert client.count_tokens("hi", tools=[add]).tokens == with_tools


def test_one_prompt_is_estimated_without_sending_it() -> None:
    script = Script()
    with made(script, OWN) as client:
        found = client.estimate_cost("x" * 400)
    tokens = 100 + PER_MESSAGE
    assert (found.prompts, found.input_tokens, found.max_output_tokens) == (1, tokens, 500)
    assert found.input_cost == tokens * 2e-6
    assert found.max_cost == pytest.approx(tokens * 2e-6 + 500 * 10e-6, abs=1e-12)
    assert str(found) == (
        "1 prompt, about 104 input tokens, $0.00021. At most 500 output tokens, $0.0052 in all."
    )
    assert script.calls == []


def test_many_prompts_are_added_up_as_they_come_and_bad_rows_are_left_out() -> None:
    def rows() -> Iterator[Any]:
        yield "x" * 400
        yield ""
        yield RequestContext(prompt="x" * 40, params=SamplingParams(max_tokens=7))
        yield [{"role": "user", "content": "x" * 4}]
        yield 5

    with own() as client:
        found = client.estimate_cost(rows())
    assert (found.prompts, found.max_output_tokens) == (3, 500 + 7 + 500)
    assert found.input_tokens == 100 + 10 + 1 + 3 * PER_MESSAGE
    assert found.input_nanos == found.input_tokens * 2_000


def test_a_list_of_messages_is_one_prompt() -> None:
    with own() as client:
        for turns in ([Message.user("a"), Message.user("b")], [{"role": "user", "content": "a"}]):
            assert client.estimate_cost(turns).prompts == 1
        assert client.estimate_cost(["a", "b"]).prompts == 2
        assert client.estimate_cost([]).input_cost == 0


@pytest.mark.parametrize("prompt", ["", 5, {"role": "user"}, [{"role": "nobody"}]])
def test_what_is_no_prompt_is_refused_by_itself(prompt: str) -> None:
    with own() as client:
        for verb in (client.estimate_cost, client.count_tokens):
            with pytest.raises(BadRowError):
                verb(prompt)


def test_parameters_and_models_of_the_call_count() -> None:
    with own(sampling_params=SamplingParams(max_tokens=9)) as client:
        assert client.estimate_cost("p").max_output_tokens == 9
        given = SamplingParams(max_tokens=11)
        assert client.estimate_cost("p", sampling_params=given).max_output_tokens == 11
        other = client.estimate_cost("p", model="openai/of-nobody")
        assert (other.input_cost, other.max_cost, other.max_output_tokens) == (None, None, 9)
        assert (
            str(other) == "1 prompt, about 5 input tokens, price unknown. At most 9 output tokens."
        )
        unbounded = client.estimate_cost("p", model="openai/of-nobody", sampling_params=None)
        assert unbounded.max_output_tokens == 9
        with pytest.raises(ConfigError):
            client.estimate_cost("p", model="nowhere")


def test_of_several_models_the_dearest_counts() -> None:
    cheap = Model(id="openai/c", price=Price(input=Decimal(1), output=Decimal(20)))
    with made(Script(), [cheap, OWN], sampling_params=SamplingParams(max_tokens=1_000)) as client:
        found = client.estimate_cost("x" * 40)
    assert found.input_nanos == 14 * 2_000
    assert found.max_nanos == 14 * 1_000 + 1_000 * 20_000


def test_without_a_bound_there_is_no_most() -> None:
    unbounded = Model(id="openai/m", price=OWN.price)
    with made(Script(), unbounded) as client:
        found = client.estimate_cost("p")
    assert found.max_cost is None
    assert str(found).endswith("The output has no bound; set max_tokens.")


def test_price_data_and_tiers_serve_estimates_too() -> None:
    with LLMClient("openai/gpt-5.6", api_key="k") as client:
        standard = client.estimate_cost("word")
        flex = SamplingParams(extra_body={"service_tier": "flex"})
        half = client.estimate_cost("word", sampling_params=flex)
    assert standard.input_nanos == standard.input_tokens * 4_000
    assert half.input_nanos == standard.input_tokens * 2_000


def test_openai_models_are_counted_exactly() -> None:
    with LLMClient("openai/gpt-4.1-mini", api_key="k") as client:
        assert client.count_tokens("hello world") == TokenCount(2 + 4 + 3, is_exact=True)
        turns = Conversation().system("hello world").user("<|endoftext|>")
        assert client.count_tokens(turns).is_exact
        assert client.estimate_cost("hello world").is_exact
        with_image = Conversation().user("a", Image.from_url("https://example.com/a.png"))
        found = client.count_tokens(with_image)
        assert found == TokenCount(PER_MESSAGE + 1 + PER_IMAGE, is_exact=False)
        long = client.count_tokens("word " * 400_000)
        assert not long.is_exact, "longer than the library takes"
        assert not client.count_tokens("p", model="openai/of-nobody").is_exact
        assert client.count_tokens("p", model="openai/gpt-4o-2024-11-20").is_exact
        assert not client.count_tokens("p", model="openai/gpt-6").is_exact


def test_another_server_is_not_counted_as_openai() -> None:
    with LLMClient("openai/gpt-4.1-mini", base_url="http://127.0.0.1:1/v1") as client:
        assert not client.count_tokens("hello world").is_exact


def test_tools_count_by_their_schemas() -> None:
    with own() as client:
        plain = client.estimate_cost("p").input_tokens
        tools = [{"type": "function", "function": {"name": "f" * 260}}]
        params = SamplingParams(extra_body={"tools": tools})
        more = client.estimate_cost("p", sampling_params=params).input_tokens - plain
    assert 110 <= more <= 130


def test_tools_and_schemas_of_a_request_count_and_are_not_counted_exactly() -> None:
    tool = Tool("f", "d" * 1300)
    shape = OutputSchema.of({"type": "object", "properties": {"p" * 1300: {}}})
    with LLMClient("openai/gpt-4o", api_key="k" * 20) as client:
        plain = client.count_tokens("p")
        for asked in (
            RequestContext(prompt="p", tools=(tool,)),
            RequestContext(prompt="p", output_schema=shape),
        ):
            more = client.count_tokens(asked)
            assert 500 <= more.tokens - plain.tokens <= 560
            assert not more.is_exact


def test_what_a_conversation_with_tools_holds_counts_by_its_size() -> None:
    call = Message("assistant", (ToolCall("1", "f", "{}"),))
    said = Conversation().user("p").add(call).tool(ToolResult("1", "x" * 40_000, "f"))
    with own() as client:
        assert client.count_tokens(said).tokens > 10_000
        marked = Conversation.of([Message.user([Text("p"), CacheBreakpoint()])])
        assert client.count_tokens(marked).tokens == client.count_tokens("p").tokens


def test_vectors_have_no_output_to_pay() -> None:
    with made(Script(), Model(id="openai/m", price=OWN.price)) as client:
        asked = RequestContext(prompt=Embed("x" * 400))
        assert client.estimate_cost(asked).max_nanos == 100 * 2_000


@pytest.mark.parametrize("options", [{}, {"max_tokens_per_minute": 10_000_000}])
def test_estimates_learn_from_what_replies_used(options: dict[str, Any]) -> None:
    script = Script(lambda *_: Answer("yes", input_tokens=208, output_tokens=1))

    async def main(client: LLMClient) -> list[int]:
        counts = [client.count_tokens("x" * 400).tokens]
        await quiet(client, ["x" * 400] * 3)
        return [*counts, client.count_tokens("x" * 400).tokens]

    assert virtual(script, main, **options) == [104, 208]


def test_a_reservation_is_made_of_the_corrected_estimate() -> None:
    """Prompts that are a quarter of their estimate fit a limit that the estimate would break."""
    script = Script(lambda *_: Answer("yes", input_tokens=25, output_tokens=1))
    params = SamplingParams(max_tokens=1)

    async def main(client: LLMClient) -> int:
        first = await client.ask("x" * 384, sampling_params=params)
        assert first.error is None
        long = await client.ask("x" * 1_200, sampling_params=params)
        return 0 if long.error is None else 1

    assert virtual(script, main, max_tokens_per_minute=200) == 0


IN_LOOP: Final = """
import asyncio, sys, time
from headrace import LLMClient
client = LLMClient("openai/gpt-4.1-mini", api_key="k")
async def main():
    first = client.count_tokens("hello world")
    deadline = time.monotonic() + 30
    while not client.count_tokens("hello world").is_exact and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    print(first.is_exact, client.count_tokens("hello world").is_exact)
asyncio.run(main())
"""
WITHOUT: Final = """
import sys
sys.modules["genai_prices"] = sys.modules["bpe_openai"] = None
from headrace import LLMClient
client = LLMClient("openai/gpt-4.1-mini", api_key="k")
print(client.estimate_cost("hello world"), client.count_tokens("hello world"), sep="|")
"""


def said(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.stderr == ""
    return done.stdout.strip()


def test_a_loop_is_not_held_up_while_the_tokenizer_is_loaded() -> None:
    assert said(IN_LOOP) == "False True"


def test_without_the_extras_the_rule_counts_and_the_estimate_says_what_to_install() -> None:
    found, count = said(WITHOUT).split("|")
    assert found == (
        "1 prompt, about 7 input tokens, price unknown. The output has no bound; set max_tokens."
        " Prices are known after pip install 'headrace[prices]', or give the model's row a price."
    )
    assert count == "TokenCount(tokens=7, is_exact=False)"


def test_no_prompt_is_refused_by_what_others_taught() -> None:
    """Its own estimate fits the limit; that earlier ones used four times theirs does not matter."""
    script = Script(lambda *_: Answer("yes", input_tokens=416, output_tokens=1))
    params = SamplingParams(max_tokens=1)

    async def main(client: LLMClient) -> list[bool]:
        return [(await client.ask("x" * 400, sampling_params=params)).is_error for _ in range(3)]

    assert virtual(script, main, max_tokens_per_minute=300) == [False] * 3
