"""What a user asks that cannot be: one sentence that names it and says what to do."""

from __future__ import annotations

from typing import Any

import pytest

from headrace import Image, LLMClient, SamplingParams
from headrace.testing import FakeServer

pytestmark = pytest.mark.once


def refused(client: LLMClient, prompt: object, **options: Any) -> str:
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
