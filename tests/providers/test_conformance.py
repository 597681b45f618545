"""Every provider class passes the conformance suite, and the suite sees what breaks its rules."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from headrace.core.errors import (
    GoneError,
    HeadraceError,
    OutcomeUnknownError,
    RateLimitError,
    ReplyError,
)
from headrace.core.model import Endpoint, Model, Route
from headrace.core.params import SamplingParams
from headrace.core.response import APIResponse
from headrace.providers.anthropic import AnthropicRequest
from headrace.providers.catalog import CLASSES
from headrace.providers.openai import OpenAIChatRequest
from headrace.testing import ConformanceError, check_provider
from headrace.testing.conformance import CHECKS, KEY

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.reply import Reply
    from headrace.providers.base import ProviderRequest

MODELS = {
    "openai_chat": "openai/any",
    "openai_responses": "openai-responses/any",
    "anthropic": "anthropic/any",
    "vertex_anthropic": "vertex-anthropic/any",
    "gemini": "google/any",
    "bedrock_converse": "bedrock/any",
    "bedrock_anthropic": "bedrock-anthropic/any",
    "cohere": "cohere/any",
    "ollama": "ollama-native/any",
}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("wire", CLASSES)
def test_our_classes_conform(wire: str, check: str) -> None:
    check_provider(CLASSES[wire], MODELS[wire], checks=[check])


@pytest.mark.parametrize("check", ["reads an answer", "401", "hides the key"])
def test_vertex_conforms_with_a_token(check: str) -> None:
    check_provider(CLASSES["gemini"], "vertex/any", checks=[check])


def test_an_endpoint_of_ones_own_and_parameters_may_be_checked() -> None:
    endpoint = Endpoint(name="mine", wire="anthropic", auth="bearer")
    route = Route(Model(id="mine/any"), endpoint, "https://mine.example")
    params = SamplingParams(temperature=0.0)
    # The fake server reads Anthropic's keys from x-api-key alone.
    with pytest.raises(ConformanceError, match="the API key of the route did not come"):
        check_provider(AnthropicRequest, route, params=params, checks=["reads an answer"])
    local = Route(route.model, endpoint.model_copy(update={"auth": "none"}), "")
    check_provider(AnthropicRequest, local, params=params, checks=["reads an answer"])


def test_a_subclass_conforms_and_an_unknown_check_is_an_error() -> None:
    class Mine(OpenAIChatRequest):
        __slots__ = ()

    check_provider(Mine, "openai/any", dialect="openai", checks=["reads an answer", "500"])
    with pytest.raises(KeyError):
        check_provider(Mine, "openai/any", checks=["reads minds"])


class Retrying(OpenAIChatRequest):
    async def execute_once(self) -> APIResponse[object]:
        try:
            return await super().execute_once()
        except HeadraceError:
            return await super().execute_once()


class ErrorsAsAnswers(OpenAIChatRequest):
    async def execute_once(self) -> APIResponse[object]:
        try:
            return await super().execute_once()
        except HeadraceError as error:
            return APIResponse(completion="", error=error)


class Unrecorded(OpenAIChatRequest):
    async def execute_once(self) -> APIResponse[object]:
        try:
            return replace(await super().execute_once(), reply=None)
        except ReplyError as error:
            error.reply = None
            raise


class Miserly(OpenAIChatRequest):
    async def execute_once(self) -> APIResponse[object]:
        return replace(await super().execute_once(), usage=None, finish_reason=None)


class Forgetful(OpenAIChatRequest):
    async def execute_once(self) -> APIResponse[object]:
        try:
            return await super().execute_once()
        except RateLimitError as error:
            error.hint = None
            raise


class Untyped(OpenAIChatRequest):
    async def execute_once(self) -> APIResponse[object]:
        try:
            return await super().execute_once()
        except HeadraceError as error:
            raise RuntimeError(str(error)) from error


class Swallowing(OpenAIChatRequest):
    async def execute_once(self) -> APIResponse[object]:
        try:
            return await super().execute_once()
        except asyncio.CancelledError:
            return APIResponse(completion="never mind")


class Translating(OpenAIChatRequest):
    async def execute_once(self) -> APIResponse[object]:
        try:
            return await super().execute_once()
        except asyncio.CancelledError:
            message = "cancelled"
            raise GoneError(message) from None


class Leaving(OpenAIChatRequest):
    __slots__ = ("left",)

    async def execute_once(self) -> APIResponse[object]:
        self.left = asyncio.ensure_future(asyncio.Event().wait())
        return await super().execute_once()


class Shouting(OpenAIChatRequest):
    async def execute_once(self) -> APIResponse[object]:
        try:
            return await super().execute_once()
        except GoneError as error:
            message = f"{error} {KEY}"
            raise GoneError(message) from None


class Patient(OpenAIChatRequest):
    async def execute_once(self) -> APIResponse[object]:
        try:
            return await super().execute_once()
        except OutcomeUnknownError:
            await asyncio.Event().wait()
            raise


class Refusing(OpenAIChatRequest):
    async def execute_once(self) -> APIResponse[object]:
        await super().execute_once()
        message = "not today"
        raise GoneError(message)


class Deaf(OpenAIChatRequest):
    async def execute_once(self) -> APIResponse[object]:
        return APIResponse(completion="echo: one two three")


class Fickle(OpenAIChatRequest):
    async def execute_once(self) -> APIResponse[object]:
        return replace(await super().execute_once(), completion="echo: one two three")

    @classmethod
    def decode(cls, context: RequestContext, route: Route, reply: Reply) -> APIResponse[object]:
        return replace(super().decode(context, route, reply), completion="something else")


@pytest.mark.parametrize(
    ("provider", "check", "sentence"),
    [
        (Retrying, "500", "one execute_once made 2 requests for an answer, not 1"),
        (Retrying, "dropped before the reply", "made 2 requests"),
        (ErrorsAsAnswers, "429 with a hint", "this counted as an answer; raise RateLimitError"),
        (ErrorsAsAnswers, "refused connection", "this counted as an answer; raise NotSentError"),
        (Unrecorded, "reads an answer", "the response has no reply"),
        (Unrecorded, "empty body", "put the reply into the error"),
        (Miserly, "reads usage", "the response has no usage"),
        (Miserly, "reads an answer", "the finish reason of a whole answer is None"),
        (Forgetful, "429 with a hint", "asked for 7.0 s of quiet, and error.hint is None"),
        (Untyped, "529", r"raise OverloadedError, not RuntimeError\("),
        (Swallowing, "cancelled at any await", r"a cancellation came out as <APIResponse"),
        (Translating, "cancelled at any await", r"a cancellation came out as GoneError\("),
        (Shouting, "hides the key", "the error shows the API key"),
        (Refusing, "reads an answer", r"an answer came out as GoneError\('not today'\)"),
        (Deaf, "reads an answer", "made 0 requests for an answer"),
        (Fickle, "decodes a recorded reply again", r"decode\(\) of the same reply gave"),
    ],
)
def test_the_suite_sees_a_broken_rule(
    provider: type[ProviderRequest], check: str, sentence: str
) -> None:
    with pytest.raises(ConformanceError, match=f"{check}: .*{sentence}"):
        check_provider(provider, "openai/any", checks=[check])


@pytest.mark.parametrize(
    ("provider", "check", "sentence"),
    [
        (Leaving, "reads an answer", "1 coroutines were left behind"),
        (Patient, "stall before the reply", "execute_once was not done 0.3 s after its time-out"),
    ],
)
def test_what_never_ends_is_waited_for_as_long_as_one_likes(
    provider: type[ProviderRequest], check: str, sentence: str
) -> None:
    with pytest.raises(ConformanceError, match=f"{check}: {sentence}"):
        check_provider(provider, "openai/any", checks=[check], grace=0.3)


def test_all_broken_rules_come_in_one_message() -> None:
    with pytest.raises(ConformanceError) as failed:
        check_provider(Miserly, "openai/any", checks=["reads usage", "reads an answer", "500"])
    lines = str(failed.value).splitlines()
    assert lines[0] == "Miserly does not keep the rules of a provider:"
    assert [line.strip().partition(":")[0] for line in lines[1:]] == [
        "reads usage",
        "reads an answer",
    ]
