"""Wrong settings and options: one sentence each, before anything is sent."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
from collections import deque
from typing import TYPE_CHECKING, Any, cast

import pytest

from headrace import ConfigError, LLMClient, SamplingParams
from headrace.testing import Script
from tests.clients import NOWHERE, made, run

if TYPE_CHECKING:
    from headrace import RequestContext
    from headrace.core.model import Route
    from headrace.testing.provider import Outcome


@pytest.mark.parametrize(
    ("option", "says"),
    [
        ("temperature", r"sampling_params=SamplingParams\(temperature=\.\.\.\)"),
        ("max_attempts", "give it to LLMClient"),
        ("on_respons", "did you mean on_response"),
        ("return_completion_only", "did you mean return_completions_only"),
        ("qqq", "no option of this call"),
    ],
)
def test_an_unknown_option_is_refused_by_name(option: str, says: str) -> None:
    client, given = made(Script()), cast("dict[str, Any]", {option: 1})
    there_are = "deadline, journal, model, on_response, output_schema, return_completions_only"
    with pytest.raises(
        TypeError, match=rf"^{option} .*{says}.*{there_are}, sampling_params, show_progress"
    ) as sync:
        client.process_prompts_sync(["p"], **given)
    with pytest.raises(TypeError) as awaited:
        run(client, ["p"], **given)
    assert str(awaited.value) == str(sync.value)


def test_each_verb_names_its_own_options() -> None:
    client = made(Script())
    options: Any = {"ordred": True}
    with pytest.raises(TypeError, match=r"did you mean ordered\?.* ordered, output_schema"):
        client.process_stream(["p"], **options)
    one = r"\(there are deadline, model, output_schema, sampling_params, spill, tools\)$"
    with pytest.raises(TypeError, match=one):
        client.ask_sync("p", **options)
    with pytest.raises(TypeError, match=one):
        asyncio.run(client.ask("p", **options))


@pytest.mark.parametrize(
    ("option", "row"),
    [
        ("requests_per_day", "requests_per_day"),
        ("max_requests_per_day", "requests_per_day"),
        ("max_input_tokens_per_minute", "input_tokens_per_minute"),
        ("priority", "priority"),
    ],
)
def test_what_belongs_to_one_model_is_told_so(option: str, row: str) -> None:
    given: Any = {option: 1}
    with pytest.raises(TypeError, match=rf"it belongs to one model: Model\(id=\.\.\., {row}="):
        LLMClient("openai/m", **given)


def test_an_unknown_setting_of_the_client_is_refused_by_name() -> None:
    misspelt: Any = {"max_request_per_minute": 5}
    misplaced: Any = {"temperature": 0}
    said = "^max_request_per_minute .*did you mean max_requests_per_minute?"
    with pytest.raises(TypeError, match=said):
        made(Script(), **misspelt)
    with pytest.raises(TypeError, match="give it as sampling_params"):
        LLMClient("openai/m", **misplaced)


def test_a_class_of_ones_own_may_take_settings_of_its_own() -> None:
    class Mine(LLMClient):
        def __init__(self, *, place: str) -> None:
            super().__init__("openai/m", base_url=place)

    assert repr(Mine(place=NOWHERE)) == "<LLMClient openai/m>"


# Before the first request.


@pytest.mark.parametrize(
    ("models", "options", "says"),
    [
        ("gpt", {}, "endpoint/model"),
        ("nowhere/m", {"base_url": None}, "not known"),
        ("openai/m", {"base_url": None}, "API key"),
        ([], {}, "no model"),
        (["openai/a", "openai/a"], {}, "twice"),
        (5, {}, "int"),
        (["openai/a", "openai/b"], {"model_weights": [1]}, "model_weights"),
        (["openai/a", "openai/b"], {"model_weights": [0, 0]}, "above zero"),
        (["openai/a", "openai/b"], {"model_weights": [1, math.nan]}, "model_weights"),
        (["openai/a", "openai/b"], {"sampling_params": [SamplingParams()]}, "sampling_params"),
        ("openai/m", {"max_requests_per_minute": math.nan}, "max_requests_per_minute"),
        ("openai/m", {"max_requests_per_minute": 0}, "max_requests_per_minute"),
        ("openai/m", {"max_tokens_per_minute": -1}, "max_tokens_per_minute"),
        ("openai/m", {"max_concurrent_requests": 0}, "max_concurrent_requests"),
        ("openai/m", {"max_attempts": 0}, "max_attempts"),
        ("openai/m", {"request_timeout": math.inf}, "request_timeout"),
        ("openai/m", {"deadline": "soon"}, "deadline"),
        ("openai/m", {"patience": -1}, "patience"),
        ("openai/m", {"base_url": "http://example.com/v1"}, "allow_http"),
        ("openai/m", {"base_url": "ftp://example.com"}, "base_url"),
        ("openai/m", {"base_url": 5}, "base_url must be a string"),
        ("openai/m", {"api_key": 5}, "API key is not text"),
        ("openai/m", {"cache": 5}, "cache must be"),
        ("openai/m", {"model_weights": 5}, "model_weights must be a list with one for each"),
        ("openai/m", {"sampling_params": "hot"}, "sampling_params must be a list"),
        ("openai/m", {"sampling_params": {"temp": 1}}, "did you mean temperature?"),
        ("openai/m", {"allow_http": "perhaps"}, "allow_http"),
        ("openai/m", {"trust_env": 5}, "trust_env"),
        ("openai/m", {"proxy": "host:3128"}, "proxy must look like"),
        ("openai/m", {"proxy": "socks5://host:3128"}, "proxy must look like"),
        ("openai/m", {"ca_file": __file__}, "ca_file .*it holds no certificate"),
        ("openai/m", {"ca_file": "/nowhere/ca.pem"}, "ca_file .*No such file"),
        ("openai/m", {"chance": 0.5}, "chance must be a function"),
        ("openai/m", {"clock": 5}, "clock must be an object with now"),
        ("openai/m", {"catalog": {}}, "catalog must be an object with bind"),
        ("openai/m", {"disk": "sda"}, "disk must be an object with open_append"),
    ],
)
def test_what_cannot_work_is_one_sentence(
    models: Any,  # noqa: ANN401 - some are of types that are refused
    options: dict[str, Any],
    says: str,
) -> None:
    given = {"base_url": NOWHERE, **options}
    with pytest.raises(ConfigError, match=says) as caught:
        LLMClient(models, **given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"model": "gpt"}, "endpoint/model"),
        ({"model": 5}, "not int"),
        ({"model": []}, "no model is given"),
        ({"deadline": 0}, "deadline must be"),
        ({"deadline": math.nan}, "deadline must be"),
        ({"sampling_params": [SamplingParams()]}, "sampling_params must be SamplingParams, not"),
        ({"sampling_params": {"temp": 1}}, "did you mean temperature?"),
        ({"on_response": 5}, "on_response must be a function"),
        ({"on_response": "print"}, "on_response must be a function"),
        ({"journal": 5}, "journal must be the path of a file, not 5"),
        ({"journal": b"run.journal"}, "journal must be the path"),
        ({"journal": ""}, "journal must be the path"),
        ({"journal": True}, "journal must be the path"),
        ({"show_progress": "no"}, "show_progress must be True or False, not 'no'"),
        ({"show_progress": None}, "show_progress must be True or False"),
        ({"return_completions_only": "yes"}, "return_completions_only must be True or False"),
    ],
)
def test_a_call_that_cannot_work_is_refused_before_its_first_request(
    options: dict[str, Any], says: str
) -> None:
    script = Script()
    with pytest.raises(ConfigError, match=says) as caught:
        made(script).process_prompts_sync(["p"], **options)
    assert "\n" not in str(caught.value)
    assert not script.calls


def test_a_stream_and_a_listener_that_cannot_work_are_refused_at_once() -> None:
    client, wrong = made(Script()), cast("Any", 5)
    with pytest.raises(ConfigError, match="ordered must be True or False, not 5"):
        client.process_stream(["p"], ordered=wrong)
    with pytest.raises(ConfigError, match="listener must be a function"):
        client.add_listener(wrong)


def test_parameters_for_each_model_may_come_in_any_iterable() -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del route, n
        return str(context.params and context.params.seed)

    each: Any = deque([SamplingParams(seed=1), SamplingParams(seed=2)])
    client = made(Script(rule), ["openai/a", "openai/b"], sampling_params=each)
    rows = run(client, [f"p{n}" for n in range(8)])
    assert {(row.model, row.completion) for row in rows} == {("a", "1"), ("b", "2")}


def test_aiohttp_is_not_loaded_before_there_is_a_client() -> None:
    say = "print('aiohttp' in sys.modules)"
    code = f"import sys; from headrace import LLMClient; {say}; LLMClient('local/smollm2'); {say}"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False", "True"]


def test_a_dialect_is_not_loaded_before_a_client_speaks_it() -> None:
    say = "print('headrace.wire.gemini' in sys.modules, 'headrace.wire.cohere' in sys.modules)"
    made = "LLMClient('google/any', api_key='AIza-key')"
    code = f"import sys; from headrace import LLMClient; {say}; {made}; {say}"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["False", "False", "True", "False"]
