"""What a user asks that cannot be: one sentence that names it and says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from headrace import ConfigError, File, Image, LLMClient, SamplingParams
from headrace.testing import FakeServer

if TYPE_CHECKING:
    from headrace.config import Asked

pytestmark = pytest.mark.once


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
    "moderate_sync": (("a",), {"jornal": "j"}, "journal"),
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
    with (
        FakeServer.in_thread() as server,
        LLMClient("openai/m", base_url=server.base_url) as client,
    ):
        response = client.speak_sync("hi")
        assert response.error is not None
        assert response.error.message.startswith("openai reads nothing out without a voice; give")
        assert not server.received
        own = SamplingParams(extra_body={"voice": "mine"})
        assert client.speak_sync("hi", sampling_params=own).parsed is not None
