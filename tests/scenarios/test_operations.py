"""Rankings, judgements, speech and its text, models and files: against the fake server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from headrace import Audio, ConfigError, File, LLMClient, Model, RequestContext
from headrace.core.errors import BadRowError, GoneError, NotSentError
from headrace.core.operations import (
    Embed,
    Moderate,
    Moderation,
    Operation,
    Ranked,
    Rerank,
    Speak,
    Transcribe,
)
from headrace.testing import FakeServer, vector_of
from headrace.testing.faults import Status, limited

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from headrace.testing.seen import RequestSeen

pytestmark = pytest.mark.once
T = TypeVar("T")
SOUND = Audio.from_bytes(b"ID3 good morning", "audio/mpeg")


def play(
    main: Callable[[LLMClient, FakeServer], Coroutine[object, object, T]],
    model: str = "openai/m",
    server: FakeServer | None = None,
    **options: Any,
) -> T:
    """``main`` with a client before a fake server."""
    there = server or FakeServer()

    async def whole() -> T:
        async with there, LLMClient(model, base_url=there.base_url, **options) as client:
            return await main(client, there)

    return asyncio.run(whole())


def test_a_ranking_is_best_first_and_no_longer_than_wanted() -> None:
    async def main(client: LLMClient, server: FakeServer) -> None:
        documents = ["a blue boat", "red fish", "a fish"]
        response = await client.rerank("red fish", documents)
        assert response.parsed == (Ranked(1, 1.0), Ranked(2, 0.5), Ranked(0, 0.0))
        first = await client.rerank("red fish", documents, top_n=1)
        assert first.parsed == (Ranked(1, 1.0),)
        assert server.received[1].json["top_n"] == 1
        nothing = await client.rerank("red fish", [])
        assert nothing.error is not None
        assert nothing.error.code == "bad_row"

    play(main, "vllm/m")


def test_judgements() -> None:
    async def main(client: LLMClient, server: FakeServer) -> None:
        responses = await client.moderate(["a bad text", "a good one", ""], show_progress=False)
        assert responses[0].parsed == Moderation(True, {"violence": True}, {"violence": 1.0})
        assert responses[1].parsed is not None
        assert not responses[1].parsed.flagged
        assert responses[2].is_error
        one = await client.moderate("fine")
        assert one.parsed is not None
        assert len(server.received) == 3

    play(main)


def test_speech_is_written_down_and_read_out(tmp_path: Path) -> None:
    async def main(client: LLMClient, server: FakeServer) -> None:
        heard = await client.transcribe(SOUND, language="en", prompt="names")
        assert heard.completion == "ID3 good morning"
        assert b'name="language"\r\n\r\nen\r\n' in server.received[0].body
        spoken = await client.speak("good morning", voice="alloy", format="mp3", speed=1.5)
        assert spoken.parsed == Audio.from_bytes(b"ID3good morning", "audio/mpeg")
        assert server.received[1].json == {
            "model": "m",
            "input": "good morning",
            "voice": "alloy",
            "response_format": "mp3",
            "speed": 1.5,
        }
        for source in ("provider", "journal"):
            several = await client.speak(
                ["a", "b"], voice="x", journal=tmp_path / "j", show_progress=False
            )
            assert [r.parsed and r.parsed.data for r in several] == [b"ID3a", b"ID3b"]
            assert {r.source for r in several} == {source}
        no_sound: Any = "speech.mp3"
        failed = await client.transcribe([no_sound, SOUND], show_progress=False)
        assert [r.is_error for r in failed] == [True, False]

    play(main)


@pytest.mark.parametrize(
    "asked",
    [
        Embed("a text"),
        Rerank("a", ("a b", "b")),
        Moderate("bad"),
        Transcribe(SOUND),
        Speak("hello", "alloy"),
    ],
)
@pytest.mark.parametrize("store", ["memory", "file"])
def test_every_operation_is_a_prompt_and_its_value_is_kept(
    tmp_path: Path, asked: Operation, store: str
) -> None:
    cache = "memory" if store == "memory" else tmp_path / "cache.db"

    async def main(client: LLMClient, server: FakeServer) -> None:
        first = await client.process_prompts_async(
            [RequestContext(prompt=asked, id="mine")], show_progress=False
        )
        assert first[0].id == "mine"
        again = await client.ask(RequestContext(prompt=asked))
        assert again.source == "cache"
        for response in (*first, again):
            assert not response.is_error, response
            assert (response.parsed, response.completion) == (
                first[0].parsed,
                first[0].completion,
            )
        assert first[0].parsed is not None or first[0].completion
        assert len(server.received) == 1

    play(main, "vllm/m" if asked.name == "rerank" else "openai/m", cache=cache)


def test_rate_limits_and_trouble_are_those_of_prompts() -> None:
    def faults(seen: RequestSeen) -> Any:  # noqa: ANN401 - faults are of many types
        return {0: limited(0.01), 1: Status(500)}.get(seen.n)

    async def main(client: LLMClient, server: FakeServer) -> None:
        texts = [f"t{n}" for n in range(300)]
        responses = await client.embed(texts, show_progress=False)
        assert [list(r.parsed or ()) for r in responses] == [vector_of(t) for t in texts]
        assert len(server.received) == 3
        assert len(server.throttled) == 1

    play(main, server=FakeServer(faults=faults), max_concurrent_requests=1)


def test_all_of_it_works_without_a_loop() -> None:
    with FakeServer.in_thread() as server:
        client = LLMClient("openai/m", base_url=server.base_url)
        ranks = LLMClient("vllm/m", base_url=server.base_url)
        assert list(client.embed_sync("a").parsed or ()) == vector_of("a")
        assert len(client.embed_sync(["a", "b"], show_progress=False)) == 2
        assert ranks.rerank_sync("a", ["b", "a"]).parsed == (Ranked(1, 1.0), Ranked(0, 0.0))
        assert client.moderate_sync("bad").parsed is not None
        assert client.transcribe_sync(SOUND).completion == "ID3 good morning"
        assert client.speak_sync("a", voice="x").parsed is not None
        assert [m.id for m in client.list_models_sync()] == ["openai/fake"]
        kept = client.upload_file_sync(File.from_bytes(b"%PDF-1", "application/pdf"))
        assert [f.id for f in client.list_files_sync()] == [kept.id]
        assert client.download_file_sync(kept.id).data == b"%PDF-1"
        client.delete_file_sync(kept.id)
        client.close()
        ranks.close()


def test_files_come_and_go() -> None:
    async def main(client: LLMClient, _: FakeServer) -> None:
        file = File(data=b"%PDF-1.4 text", media_type="application/pdf", name='a "b".pdf')
        kept = await client.upload_file(file, purpose="assistants")
        assert (kept.size, kept.purpose) == (13, "assistants")
        assert await client.list_files() == [kept]
        again = await client.download_file(kept.id)
        assert (again.data, again.media_type) == (file.data, "application/pdf")
        assert await client.get_file(kept) == kept
        await client.delete_file(kept)
        assert await client.list_files() == []
        wrong: list[Any] = [None, 5, file]
        for each in wrong:
            with pytest.raises(ConfigError, match="a file is named by its id, or by what"):
                await client.get_file(each)
        for call in (client.download_file, client.delete_file):
            with pytest.raises(GoneError, match=f"check the file's id, '{kept.id}'; list_files"):
                await call(kept.id)
        with pytest.raises(BadRowError, match="from_path"):
            await client.upload_file(File.from_url("https://example.com/a.pdf"))
        with pytest.raises(ConfigError, match="takes a File, not str; make it with"):
            await client.upload_file("a.pdf")  # type: ignore[arg-type]  # what people try
        with pytest.raises(ConfigError, match=r"takes an Audio, .*from_path"):
            await client.transcribe("a.mp3")  # type: ignore[arg-type]  # what people try

    play(main)


def test_plain_calls_are_sent_once_and_raise_what_went_wrong() -> None:
    async def main() -> None:
        async with LLMClient("openai/m", base_url="http://127.0.0.1:1/v1") as client:
            with pytest.raises(NotSentError):
                await client.list_models()

    asyncio.run(main())


def test_what_an_endpoint_does_not_do_is_said_before_anything_is_sent() -> None:
    async def main(client: LLMClient, server: FakeServer) -> None:
        with pytest.raises(ConfigError, match=r"'deepseek' does not rerank; use one of .*together"):
            await client.rerank("a", ["b"])
        with pytest.raises(ConfigError, match="does not keep files; use one of anthropic, "):
            await client.list_files()
        row = await client.ask(RequestContext(prompt=Rerank("a", ("b",))))
        assert row.error is not None
        assert "does not rerank" in row.error.message
        with pytest.raises(ConfigError, match="documents"):
            await client.rerank("a", "b")
        with pytest.raises(ConfigError, match="top_n"):
            await client.rerank("a", ["b"], top_n=0)
        assert not server.received

    play(main, "deepseek/m")


def test_an_endpoint_that_embeds_nothing_says_who_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-0123456789")
    client = LLMClient("anthropic/claude")
    with pytest.raises(
        ConfigError, match=r"'anthropic' does not embed; use one of azure, .*openai"
    ):
        client.embed_sync(["a"])


@pytest.mark.parametrize(
    "options", [{"dimensions": 0}, {"dimensions": "many"}, {"input_type": "poem"}]
)
def test_options_that_are_none(options: dict[str, Any]) -> None:
    client = LLMClient("openai/m", base_url="http://127.0.0.1:1/v1")
    with pytest.raises(ConfigError, match=next(iter(options))):
        client.embed_sync(["a"], **options)
    with pytest.raises(TypeError, match="tools"):
        client.embed_sync(["a"], tools=[])  # type: ignore[call-overload]  # what it is about


def test_an_endpoint_that_lists_no_models_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "key-0123456789")
    client = LLMClient(Model(id="bedrock/m", regions=("us-east-1",)))
    with pytest.raises(ConfigError, match="'bedrock' lists no models"):
        client.list_models_sync()
