"""The local model's server comes and goes; the client does not mind."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import pytest

from headrace import LLMClient, RequestContext
from tests.local_model import stand_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from headrace import APIResponse

pytestmark = pytest.mark.once

# It dies of one prompt.
MORTAL: Final = """
plan = None

def answer(prompt):
    if prompt == "die":
        os._exit(1)
    return f"{prompt} from {os.getpid()}"
"""


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with stand_in(tmp_path, monkeypatch, MORTAL):
        yield


def ask(client: LLMClient, prompt: str) -> APIResponse[object]:
    return client.ask_sync(prompt)


def run(client: LLMClient, prompt: str) -> APIResponse[object]:
    [row] = client.process_prompts_sync([prompt], show_progress=False)
    return row


def run_of_its_own_model(client: LLMClient, prompt: str) -> APIResponse[object]:
    context = RequestContext(prompt=prompt, model="local/smollm2")
    [row] = client.process_prompts_sync([context], show_progress=False)
    return row


@pytest.mark.skipif(not hasattr(os, "waitid"), reason="a death cannot be awaited here")
@pytest.mark.usefixtures("local")
@pytest.mark.parametrize(
    ("model", "again"),
    [
        ("local/smollm2", ask),
        ("local/smollm2", run),
        ("local/smollm2", run_of_its_own_model),
        ("openai/unused", run_of_its_own_model),
    ],
)
def test_a_server_that_died_is_started_again(
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    again: Callable[[LLMClient, str], APIResponse[object]],
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-unused-unused")
    client = LLMClient(model, max_attempts=1, cache="memory")
    first = again(client, "one")
    assert first.completion
    assert again(client, "die").is_error
    # A process lets go of its sockets a moment before it has ended.
    os.waitid(os.P_PID, int(first.completion.split()[-1]), os.WEXITED | os.WNOWAIT)
    second = again(client, "two")
    assert second.completion
    assert second.completion.startswith("two from ")
    # Where it listens now is not what an answer depends on.
    remembered = again(client, "one")
    assert (remembered.completion, remembered.source) == (first.completion, "cache")
    client.close()


@pytest.mark.usefixtures("local")
def test_no_proxy_stands_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    for client in (
        LLMClient("local/smollm2", proxy="http://127.0.0.1:1"),
        LLMClient("local/smollm2", trust_env=True),
    ):
        assert str(ask(client, "one").completion).startswith("one from ")
        client.close()
