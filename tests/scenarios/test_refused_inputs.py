"""What a user asks that cannot be: one sentence that names it and says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from headrace import (
    Audio,
    ConfigError,
    Conversation,
    Endpoint,
    File,
    Image,
    LLMClient,
    Message,
    SamplingParams,
    Text,
    ToolCall,
    ToolResult,
    errors,
    list_endpoints,
    register_endpoint,
    unregister_endpoint,
)
from headrace.testing import FakeServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headrace.config import Asked

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def table() -> Iterator[None]:
    """What is registered is so for one test."""
    yield
    if any(row.name == "vendor" for row in list_endpoints()):
        unregister_endpoint("vendor")


def refused(client: LLMClient, prompt: Asked, **options: Any) -> str:
    """What is said of a prompt before anything is sent for it."""
    response = client.ask_sync(prompt, **options)
    assert response.error is not None
    assert response.error.code == "rejected"
    return str(response.error.message)


def test_all_that_an_api_cannot_carry_is_told_at_once() -> None:
    params = SamplingParams(top_k=3, min_p=0.1, safety_settings={"a": "b"}, on_unsupported="error")
    with (
        FakeServer.in_thread() as server,
        LLMClient("openai-responses/m", base_url=server.base_url) as client,
    ):
        said = refused(client, "hi", sampling_params=params)
        assert [name for name in ("top_k", "min_p", "safety_settings") if name not in said] == []
        assert said.endswith('; change them, or allow on_unsupported="adapt"')
        one = SamplingParams(top_k=3, on_unsupported="error")
        assert "; change it, or allow" in refused(client, "hi", sampling_params=one)
        adapted = client.ask_sync("hi", sampling_params=SamplingParams(top_k=3, min_p=0.1))
        assert len(adapted.adaptations) == 2
        assert len(server.received) == 1


@pytest.mark.parametrize(
    ("given", "named"), [(b"ID3", "bytes"), ("talk.mp3", "str"), (Image.from_bytes, "method")]
)
def test_what_is_no_sound_is_told_how_to_make_one(given: object, named: str) -> None:
    client: Any = LLMClient("openai/m", base_url="http://127.0.0.1:1/v1")
    [response] = client.transcribe_sync([given], show_progress=False)
    said = response.error.message
    assert f"not {named}; make it with Audio.from_path or Audio.from_bytes" in said


MISSPELT: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "embed_sync": (("a",), {"dimension": 3}, "dimensions"),
    "rerank_sync": (("a", ["b"]), {"topn": 3}, "top_n"),
    "moderate_sync": (("a",), {"journ": "j"}, "journal"),
    "transcribe_sync": (([],), {"lang": "en"}, "language"),
    "speak_sync": (("a",), {"voise": "alloy"}, "voice"),
    "ask_sync": (("a",), {"output_shema": int}, "output_schema"),
    "process_prompts_sync": (([],), {"on_respond": print}, "on_response"),
    "run_tool_loop_sync": (("a",), {"max_round": 3}, "max_rounds"),
    "stream_tokens_sync": (("a",), {"modle": "a/b"}, "model"),
    "estimate_cost": (("a",), {"tool": []}, "tools"),
    "count_tokens": (("a",), {"modl": "a/b"}, "model"),
    "upload_file_sync": ((File.from_bytes(b"a", "text/plain"),), {"purpos": "x"}, "purpose"),
    "list_files_sync": ((), {"modl": "a/b"}, "model"),
    "download_file_sync": (("f",), {"modl": "a/b"}, "model"),
    "delete_file_sync": (("f",), {"modl": "a/b"}, "model"),
}


@pytest.mark.parametrize("verb", MISSPELT)
def test_a_misspelt_option_is_told_as_what_it_was_meant_to_be(verb: str) -> None:
    given, options, meant = MISSPELT[verb]
    client = LLMClient("openai/m", base_url="http://127.0.0.1:1/v1")
    [name] = options
    with pytest.raises(TypeError) as caught:
        # A stream says so when it is read.
        list(getattr(client, verb)(*given, **options))
    assert f"{name} is no option of this call; did you mean {meant}? (there are" in str(
        caught.value
    )


def test_an_endpoint_that_lists_no_models_is_told_by_its_name() -> None:
    client = LLMClient("openai/m", base_url="http://127.0.0.1:1/v1")
    untyped: Any = client
    with pytest.raises(ConfigError, match=r"^the endpoint 'nope' is not known; for a compatible"):
        client.list_models_sync("nope")
    with pytest.raises(ConfigError, match=r"^mistral needs an API key; "):
        client.list_models_sync("mistral")
    with pytest.raises(ConfigError, match='a model is "endpoint/model" or a Model, not int'):
        untyped.list_models_sync(5)


def test_a_text_without_a_voice_is_refused_by_its_name() -> None:
    with FakeServer.in_thread() as server, to(server, "openai") as client:
        response = client.speak_sync("hi")
        assert response.error is not None
        assert response.error.message.startswith("vendor reads nothing out without a voice; give")
        assert not server.received
        own = SamplingParams(extra_body={"voice": "mine"})
        assert client.speak_sync("hi", sampling_params=own).parsed is not None


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


CHAT: tuple[str, ...] = (
    "openai",
    "openai-responses",
    "anthropic",
    "google",
    "cohere",
    "mistral",
    "bedrock-anthropic",
)


def to(server: FakeServer, endpoint: str) -> LLMClient:
    """A client of a vendor whose own address is the server's."""
    row = next(row for row in list_endpoints() if row.name == endpoint)
    url = server.base_url if endpoint in {"openai", "openai-responses"} else server.anthropic_url
    own = {"name": "vendor", "base_url": url, "auth": "bearer", "regions": ()}
    register_endpoint(Endpoint(**{**row.model_dump(), **own}))
    return LLMClient("vendor/m", api_key="a-key-of-the-vendor")


@pytest.mark.parametrize("endpoint", CHAT)
def test_a_choice_of_a_tool_that_is_not_there_is_refused_with_those_that_are(endpoint: str) -> None:
    chosen = SamplingParams(tool_choice="sum")
    with FakeServer.in_thread() as server, to(server, endpoint) as client:
        said = refused(client, "1 + 2?", tools=[add], sampling_params=chosen)
        assert said == "tool_choice names 'sum', which is none of the tools (there are add)"
        longer = SamplingParams(tool_choice="add2")
        assert "did you mean add? (there are add)" in refused(
            client, "1 + 2?", tools=[add], sampling_params=longer
        )
        assert not server.received


@pytest.mark.parametrize("endpoint", CHAT)
def test_a_call_without_its_result_is_that_prompts_error(endpoint: str) -> None:
    calls = (ToolCall("c1", "add", '{"a": 1, "b": 2}'), ToolCall("c2", "add", '{"a": 3, "b": 4}'))
    asked = Conversation().user("1 + 2, 3 + 4?").assistant("", *calls).tool(ToolResult("c1", "3"))
    with FakeServer.in_thread() as server, to(server, endpoint) as client:
        said = refused(client, asked.user("So?"), tools=[add])
        assert said.startswith("the call 'c2' of the tool add has no result before the user's next")
        assert not server.received
        answered = asked.tool(ToolResult("c2", "7")).user("So?")
        if endpoint.startswith("openai"):
            assert client.ask_sync(answered, tools=[add]).error is None


# With a key, too: vLLM and llama.cpp are started with one, and gateways want one.
@pytest.mark.parametrize("key", [None, "a-key-of-ones-own"])
@pytest.mark.parametrize("endpoint", ["openai", "openai-responses", "vllm", "llamacpp"])
def test_a_server_of_ones_own_takes_what_the_vendor_refuses(endpoint: str, key: str | None) -> None:
    asked = Conversation().user("a").assistant("", ToolCall("c1", "add", "{}")).user("b")
    with (
        FakeServer.in_thread() as server,
        LLMClient(f"{endpoint}/m", base_url=server.base_url, api_key=key) as client,
    ):
        assert client.ask_sync(asked).error is None
        if endpoint.startswith("openai"):  # that one wants a voice, and says so itself
            said = client.speak_sync("hi").error
            assert isinstance(said, errors.RejectedError)
            assert said.status == 400


def test_another_region_of_the_vendor_refuses_what_the_vendor_does() -> None:
    asked = Conversation().user("a").assistant("", ToolCall("c1", "add", "{}")).user("b")
    url = "https://eu.api.openai.com/v1"
    with LLMClient("openai/m", base_url=url, api_key="a-key") as client:
        assert "has no result before the user's next turn" in refused(client, asked)


def test_parameters_of_text_are_no_parameters_of_vectors_and_sounds() -> None:
    params = SamplingParams(temperature=0.5, max_tokens=3, extra_body={"user": "me"})
    with (
        FakeServer.in_thread() as server,
        LLMClient("openai/m", base_url=server.base_url, sampling_params=params) as client,
    ):
        [vector] = client.embed_sync(["a"], show_progress=False)
        assert vector.adaptations == (
            "max_tokens is left out: embed has none",
            "temperature is left out: embed has none",
        )
        assert server.received[0].json["user"] == "me"
        assert "temperature" not in server.received[0].json
        sound = Audio.from_bytes(b"ID3 hello", "audio/mpeg")
        assert len(client.transcribe_sync(sound).adaptations) == 2
        assert (
            client.moderate_sync("a").adaptations[1] == "temperature is left out: moderate has none"
        )
        strict = client.embed_sync("a", sampling_params=SamplingParams(on_unsupported="error"))
        assert strict.error is not None
        assert strict.error.code == "rejected"
        assert "max_tokens is left out" in strict.error.message


NAMED: list[dict[str, str]] = [
    {"role": "system", "content": "Be fair.", "name": "chair"},
    {"role": "user", "content": "Mine!", "name": "ann"},
    {"role": "assistant", "content": "Whose?"},
    {"role": "user", "content": "Mine!", "name": "bob"},
]


def test_names_of_speakers_go_where_there_is_a_place_for_them() -> None:
    with (
        FakeServer.in_thread() as server,
        LLMClient("openai/m", base_url=server.base_url) as client,
    ):
        response = client.ask_sync(NAMED)
        assert response.adaptations == ()
        assert server.received[0].json["messages"] == NAMED
        rich = Message("user", (Text("Look."), Image.from_url("https://example.com/a.png")), "ann")
        assert client.ask_sync(rich).error is None
        body: Any = server.received[1].json
        [sent] = body["messages"]
        assert sent["name"] == "ann"


@pytest.mark.parametrize("endpoint", [name for name in CHAT if name not in {"openai", "mistral"}])
def test_names_of_speakers_are_left_out_visibly_elsewhere(endpoint: str) -> None:
    strict = SamplingParams(on_unsupported="error")
    with FakeServer.in_thread() as server, to(server, endpoint) as client:
        said = refused(client, [NAMED[1]], sampling_params=strict)
        assert said.startswith("the name of a message is left out: ")
        assert not server.received


def test_who_speaks_is_a_part_of_what_is_asked() -> None:
    ann, bob, nobody = (Conversation((Message("user", "Mine!", n),)) for n in ("ann", "bob", None))
    assert len({ann.fingerprint, bob.fingerprint, nobody.fingerprint}) == 3
    assert nobody.fingerprint == Conversation.of("Mine!").fingerprint
    assert ann == Conversation.from_messages([NAMED[1]])
    assert ann.cached().messages[0].name == "ann"
