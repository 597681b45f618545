"""What the types of the public names say; checked by mypy, never run."""

from __future__ import annotations

from array import array
from decimal import Decimal
from typing import TYPE_CHECKING, Any, assert_type

from pydantic import BaseModel

from headrace import (
    APIResponse,
    Audio,
    Conversation,
    Embed,
    Endpoint,
    Estimate,
    File,
    Image,
    ListedModel,
    LLMClient,
    Message,
    Model,
    Moderation,
    Price,
    ProviderRequest,
    Ranked,
    RequestContext,
    Responses,
    SamplingParams,
    StoredFile,
    TokenCount,
    ToolRun,
    Usage,
    list_endpoints,
    list_models,
    register_alias,
    register_endpoint,
    register_model,
    register_provider,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


def rows() -> list[Endpoint]:
    register_endpoint(Endpoint(name="a", wire="openai_chat", key_env=("A", "B")))
    register_model(Model(id="a/m", key_env=("A", "B"), regions=("r",)))
    register_alias("m", "a/m")
    register_provider("a", ProviderRequest)  # type: ignore[type-abstract]  # a subclass is meant
    LLMClient("m", api_key=["k", "l"])
    assert_type(list_models(), list[Model])
    return list_endpoints()


def clients() -> LLMClient:
    LLMClient(Model(id="openai/m", requests_per_minute=60))
    LLMClient(["openai/a", Model(id="openai/b")], model_weights=[1, 2.5])
    LLMClient("openai/m", sampling_params=[SamplingParams(temperature=0)], cache="memory")
    LLMClient(5)  # type: ignore[arg-type]  # no model
    LLMClient("openai/m", max_request_per_minute=60)  # type: ignore[call-arg]  # misspelt option
    return LLMClient("openai/m", base_url="http://127.0.0.1:8080/v1", deadline=30)


async def many(client: LLMClient) -> None:
    assert_type(await client.process_prompts_async(["p"]), Responses[Any])
    whole = await client.process_prompts_async(["p"], return_completions_only=False, journal="j")
    assert_type(whole, Responses[Any])
    texts = await client.process_prompts_async(["p"], return_completions_only=True)
    assert_type(texts, list[str | None])
    assert_type(client.process_prompts_sync(["p"]), Responses[Any])
    assert_type(client.process_prompts_sync(["p"], return_completions_only=True), list[str | None])
    await client.process_prompts_async(["p"], temperature=1)  # type: ignore[call-overload]  # belongs in SamplingParams


async def sources(client: LLMClient) -> None:
    def lines() -> Iterator[str]:
        yield "p"

    async def rows() -> AsyncIterator[RequestContext]:
        yield RequestContext(prompt="p", id="1", params=SamplingParams(seed=1))

    await client.process_prompts_async(lines())
    await client.process_prompts_async(rows())
    await client.process_prompts_async(["p", Message("user", "q"), Conversation.of("r")])
    await client.process_prompts_async([[{"role": "user", "content": "s"}]])
    await client.process_prompts_async(5)  # type: ignore[call-overload]  # no prompts


async def callbacks(client: LLMClient) -> None:
    def show(response: APIResponse[Any]) -> None:
        del response

    async def store(response: APIResponse[Any]) -> None:
        del response

    def wrong(response: int) -> None:
        del response

    await client.process_prompts_async(["p"], on_response=show)
    await client.process_prompts_async(["p"], on_response=store)
    client.process_stream(["p"], on_response=wrong)  # type: ignore[arg-type]  # wants an int


async def one(client: LLMClient) -> None:
    assert_type(await client.ask("p"), APIResponse[Any])
    assert_type(client.ask_sync("p", deadline=5), APIResponse[Any])
    assert_type(client.ask_sync(RequestContext(prompt="p")), APIResponse[Any])
    assert_type(await client.process_single_request(RequestContext(prompt="p")), APIResponse[Any])
    await client.ask("p", journal="j")  # type: ignore[call-overload]  # of runs only


class City(BaseModel):
    name: str


async def shaped(client: LLMClient) -> None:
    one = await client.ask("p", output_schema=City, deadline=5)
    assert_type(one, APIResponse[City])
    assert_type(one.parsed, City | None)
    assert_type(client.ask_sync("p", output_schema=list[int]), APIResponse[list[int]])
    assert_type(await client.ask("p", output_schema={"type": "object"}), APIResponse[Any])
    many = await client.process_prompts_async(["p"], output_schema=City, journal="j")
    assert_type(many, Responses[City])
    assert_type(client.process_prompts_sync(["p"], output_schema=City), Responses[City])
    texts = await client.process_prompts_async(
        ["p"], output_schema=City, return_completions_only=True
    )
    assert_type(texts, list[str | None])
    await client.ask("p", output_schema=City, journals="j")  # type: ignore[call-overload]  # it is misspelt


async def tools(client: LLMClient) -> None:
    def add(left: int) -> int:
        return left

    assert_type(await client.run_tool_loop("p", tools=[add], max_rounds=3), ToolRun[Any])
    run = client.run_tool_loop_sync("p", tools=[add], output_schema=City, raise_errors=True)
    assert_type(run, ToolRun[City])
    assert_type(run.response.parsed, City | None)
    assert_type(run.usage, Usage)
    assert_type(await client.ask("p", tools=[add, {"name": "f"}, City]), APIResponse[Any])


async def streams(client: LLMClient) -> None:
    async with client.process_stream(["p"], ordered=True) as responses:
        async for response in responses:
            assert_type(response.completion, str | None)


def fields(response: APIResponse[int], responses: Responses[int]) -> None:
    assert_type(response.parsed, int | None)
    assert_type(response.usage, Usage | None)
    assert_type(response.cost, float | None)
    assert_type(response.raise_for_error(), APIResponse[int])
    assert_type(responses.succeeded, Responses[int])
    assert_type(responses[0], APIResponse[int])
    response.completion = "frozen"  # type: ignore[misc]  # it is frozen
    assert_type(SamplingParams(seed=1) | SamplingParams(top_p=0.5), SamplingParams)


def estimates(client: LLMClient) -> None:
    assert_type(client.estimate_cost("p"), Estimate)
    assert_type(client.estimate_cost(["p", "q"], model="openai/m").max_cost, float | None)
    assert_type(client.count_tokens([{"role": "user", "content": "p"}]), TokenCount)
    client.estimate_cost(5)  # type: ignore[arg-type]  # is no prompt


def prices() -> Model:
    return Model(id="openai/m", price=Price(input=Decimal("0.4"), output=Decimal("1.6")))


async def more_than_chat(client: LLMClient, audio: Audio, file: File, image: Image) -> None:
    assert_type(await client.embed("a"), APIResponse[array[float]])
    assert_type(await client.embed(["a"], dimensions=3), Responses[array[float]])
    assert_type(
        await client.embed([Embed("a", 3), RequestContext(prompt="b")]), Responses[array[float]]
    )
    async with client.embed_stream(["a"], ordered=True, dimensions=3) as responses:
        async for response in responses:
            assert_type(response, APIResponse[object])
    assert_type(client.embed_sync("a"), APIResponse[array[float]])
    assert_type(await client.embed(image), APIResponse[array[float]])
    assert_type(await client.embed(["a", image]), Responses[array[float]])
    assert_type(client.embed_sync(["a"], journal="j"), Responses[array[float]])
    await client.embed(["a"], tools=[])  # type: ignore[call-overload]  # no option of this verb
    assert_type(await client.rerank("a", ["b"], top_n=1), APIResponse[tuple[Ranked, ...]])
    assert_type(await client.moderate("a"), APIResponse[Moderation])
    assert_type(client.moderate_sync(["a"]), Responses[Moderation])
    assert_type(await client.transcribe(audio, language="en"), APIResponse[None])
    assert_type(await client.speak("a", voice="v"), APIResponse[Audio])
    assert_type(client.speak_sync(["a"], voice="v"), Responses[Audio])
    assert_type(await client.list_models(), list[ListedModel])
    assert_type(await client.upload_file(file), StoredFile)
    assert_type(await client.get_file("f"), StoredFile)
    assert_type(await client.download_file("f"), File)
    await client.ask(Embed("a"))
