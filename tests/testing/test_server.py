"""The fake server: two dialects on a real socket, and a true record."""

from __future__ import annotations

import asyncio
import http.client
import threading
from typing import TYPE_CHECKING

import aiohttp
import orjson
import pytest

from headrace.testing import FakeServer, faults, plans
from headrace.testing.server.connection import MAX_HEAD
from tests.testing.asking import Client, Held, ask, ask_anthropic, chat, post, turns

if TYPE_CHECKING:
    from collections.abc import Mapping


def test_it_speaks_chat_completions() -> None:
    async def main() -> None:
        async with FakeServer() as server:
            status, headers, body = await ask(server)
            assert status == 200
            assert headers["x-request-id"].startswith("req_")
            assert body["model"] == "m"
            assert str(body["id"]).startswith("chatcmpl-")
            choice = {"role": "assistant", "content": "echo: one two three", "refusal": None}
            assert body["choices"] == [
                {"index": 0, "message": choice, "logprobs": None, "finish_reason": "stop"}
            ]
            assert body["usage"] == {
                "prompt_tokens": 3,
                "completion_tokens": 4,
                "total_tokens": 7,
                "prompt_tokens_details": {"cached_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0},
            }

    asyncio.run(main())


def test_it_speaks_messages() -> None:
    async def main() -> None:
        async with FakeServer(answer=str.upper) as server:
            parts = [{"type": "text", "text": "a b"}, {"type": "image", "source": {}}]
            status, _, body = await ask_anthropic(
                server,
                system="be kind",
                messages=[
                    {"role": "user", "content": parts},
                    {"role": "assistant", "content": "c"},
                ],
            )
            assert status == 200
            assert body["content"] == [{"type": "text", "text": "A B"}]
            assert body["stop_reason"] == "end_turn"
            usage = body["usage"]
            assert isinstance(usage, dict)
            assert (usage["input_tokens"], usage["output_tokens"]) == (5, 2)
            _, _, cut = await ask_anthropic(server, max_tokens=2)
            assert cut["content"] == [{"type": "text", "text": "ONE TWO"}]
            assert cut["stop_reason"] == "max_tokens"
            assert server.received[0].key == "sk"

    asyncio.run(main())


def test_an_output_bound_cuts() -> None:
    async def main() -> list[object]:
        async with FakeServer() as server:
            cut = await ask(server, max_completion_tokens=2)
            whole = await ask(server, max_tokens=100)
            return [cut[2]["choices"], whole[2]["choices"]]

    cut, whole = asyncio.run(main())
    assert "'finish_reason': 'length'" in str(cut)
    assert "'content': 'echo: one'" in str(cut)
    assert "'finish_reason': 'stop'" in str(whole)


def test_it_lists_models_and_knows_no_other_path() -> None:
    async def main() -> None:
        async with FakeServer(models=["a", "b"]) as server, aiohttp.ClientSession() as session:
            async with session.get(f"{server.base_url}/models?limit=5") as reply:
                rows = (await reply.json())["data"]
                assert [row["id"] for row in rows] == ["a", "b"]
            for path in ("/chat/completions", "/else"):
                async with session.get(server.base_url + path) as reply:
                    assert reply.status == 404
            assert server.received == []

    asyncio.run(main())


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": [1], "model": "m"},
        {"messages": []},
        chat(stream="yes"),
        chat(stream_options={}),
        [],
    ],
)
def test_bad_requests_are_refused(body: Mapping[str, object]) -> None:
    async def main() -> None:
        async with FakeServer() as server:
            status, _, answer = await post(f"{server.base_url}/chat/completions", body)
            assert status == 400
            assert "error" in answer

    asyncio.run(main())


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST /v1/messages HTTP/1.1\r\ncontent-length: x\r\n\r\n", b"400"),
        (b"POST /v1/messages HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", b"400"),
        # Not a byte more than is read: what is left over would reset the connection.
        (b"x" * (MAX_HEAD + 1), b"400"),
        (b"POST /v1/messages HTTP/1.0\r\ncontent-length: 1\r\n\r\n{", b"400"),
        (b"GET /v1/models HTTP/1.1\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n", b"100"),
    ],
)
def test_what_is_hardly_http_gets_an_answer_too(data: bytes, status: bytes) -> None:
    async def main() -> bytes:
        async with FakeServer() as server:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(data)
            reply = await reader.read()
            writer.close()
            return reply

    assert asyncio.run(main()).startswith(b"HTTP/1.1 " + status)


def test_requests_may_come_in_pieces_and_one_after_the_other() -> None:
    body = orjson.dumps(chat())
    head = b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body)
    last = head.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")

    async def main() -> tuple[bytes, FakeServer]:
        async with FakeServer() as server:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            for piece in (head[:10], head[10:], body[:5], body[5:] + head + body + last + body):
                writer.write(piece)
                await turns()
            data = await reader.read()
            writer.close()
            return data, server

    data, server = asyncio.run(main())
    assert data.count(b"HTTP/1.1 200 OK") == 3
    assert server.counts == {"one two three": 3}
    assert [seen.nth for seen in server.received] == [0, 1, 2]
    assert {seen.connection for seen in server.received} == {0}


def test_what_comes_while_another_request_is_answered_waits_or_is_dropped_with_a_close() -> None:
    body = orjson.dumps(chat())
    first = b"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(body)
    last = first.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")

    async def main(then: faults.Fault | None) -> tuple[int, int, int]:
        held = Held(then)
        async with FakeServer(faults=plans.Sequence([held])) as server:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(first + body)
            await server.until(1)
            writer.write(last + body)
            await turns()
            held.free.set()
            data = await reader.read()
            writer.close()
            return data.count(b"HTTP/1.1 200"), server.ledger.total, server.answered.total()

    assert asyncio.run(main(None)) == (2, 2, 2)
    assert asyncio.run(main(faults.CloseAfter())) == (1, 1, 1)


def test_a_wrong_key_is_refused() -> None:
    async def main() -> None:
        async with FakeServer(api_key="sk") as server:
            url = f"{server.base_url}/chat/completions"
            for key in ("Bearer nope", "Basic sk", ""):
                status, _, body = await post(url, chat(), {"authorization": key})
                assert status == 401
                assert "invalid_api_key" in str(body)
            assert (await post(url, chat(), {"authorization": "Bearer sk"}))[0] == 200
            assert (await ask_anthropic(server))[0] == 200
            server.api_key = "changed"
            status, _, body = await ask_anthropic(server)
            assert status == 401
            assert "authentication_error" in str(body)

    asyncio.run(main())


def test_it_counts_what_is_in_flight_and_connected() -> None:
    async def main() -> FakeServer:
        held = Held()
        async with FakeServer(faults=lambda _: held) as server:
            asking = asyncio.gather(*(ask(server, f"p{n}") for n in range(5)))
            await server.until(5)
            held.free.set()
            replies = await asking
            assert [status for status, _, _ in replies] == [200] * 5
            return server

    server = asyncio.run(main())
    assert (server.ledger.in_flight, server.ledger.in_flight_peak) == (0, 5)
    assert (server.ledger.connections_peak, server.ledger.connections_total) == (5, 5)
    assert server.ledger.connections == 0
    assert server.answered == {f"p{n}": 1 for n in range(5)}
    assert [seen.in_flight for seen in server.received] == [1, 2, 3, 4, 5]
    assert server.ledger.statuses == {200: 5}


def test_who_leaves_early_is_counted() -> None:
    async def main() -> FakeServer:
        async with FakeServer(latency=60) as server:
            asking = [asyncio.ensure_future(ask(server)) for _ in range(3)]
            await server.until(3)
            await server.until(1)
            waiting = asyncio.ensure_future(server.until(4))
            later = asyncio.ensure_future(server.until(5))
            await asyncio.sleep(0)
            waiting.cancel()
            asking.append(asyncio.ensure_future(ask(server)))
            asking.append(asyncio.ensure_future(ask(server)))
            await later
            for each in asking:
                each.cancel()
            await asyncio.gather(*asking, waiting, return_exceptions=True)
        return server

    server = asyncio.run(main())
    assert server.ledger.abandoned == 5
    assert server.ledger.in_flight == 0
    assert server.answered == {}


def test_who_has_left_is_not_answered_any_more() -> None:
    async def main() -> FakeServer:
        held = Held()
        async with FakeServer(faults=plans.Sequence([held])) as server:
            asking = asyncio.ensure_future(ask(server, "left"))
            await server.until(1)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await turns()
            held.free.set()
            await ask(server, "stayed")
        return server

    server = asyncio.run(main())
    assert server.ledger.statuses == {200: 1}
    assert server.answered == {"stayed": 1}


def test_the_log_can_be_bounded() -> None:
    async def main(keep: int) -> FakeServer:
        async with FakeServer(keep=keep) as server:
            for n in range(3):
                await ask(server, f"p{n % 2}")
            return server

    server = asyncio.run(main(2))
    assert [seen.prompt for seen in server.received] == ["p1", "p0"]
    assert server.counts == {"p0": 2, "p1": 1}
    server = asyncio.run(main(0))
    assert (server.received, server.counts, server.answered) == ([], {}, {})
    assert server.ledger.total == 3


def test_a_failing_answer_function_is_raised_at_the_end(raw_client: Client) -> None:
    def broken(text: str) -> str:
        raise KeyError(text)

    async def main() -> None:
        async with FakeServer(answer=broken) as server:
            assert await raw_client(server, "mine") == b""
            assert server.ledger.in_flight == 0

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(main())


def test_it_runs_in_a_thread() -> None:
    with FakeServer.in_thread(answer=str.title) as server:
        assert "fake-server" in {thread.name for thread in threading.enumerate()}
        connection = http.client.HTTPConnection(server.host, server.port)
        for _ in range(2):
            connection.request("POST", "/v1/chat/completions", orjson.dumps(chat("hi you")))
            body = orjson.loads(connection.getresponse().read())
            assert body["choices"][0]["message"]["content"] == "Hi You"
        connection.close()
        assert server.counts == {"hi you": 2}
    assert "fake-server" not in {thread.name for thread in threading.enumerate()}


def test_a_taken_port_is_said() -> None:
    with (
        FakeServer.in_thread() as server,
        pytest.raises(OSError, match="in use"),
        FakeServer.in_thread(port=server.port),
    ):
        pass
