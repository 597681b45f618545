"""The fake server: two dialects, limits as real servers keep them, and a true record."""

from __future__ import annotations

import asyncio
import http.client
import threading
from typing import TYPE_CHECKING, Protocol

import aiohttp
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.testing import FakeServer, RequestSeen, faults, plans
from headrace.testing.seen import Throttled, hint_of
from headrace.testing.server.dialects import go_duration
from headrace.testing.server.ledger import within_hints
from headrace.testing.server.limits import Bucket, Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

Reply = tuple[int, dict[str, str], dict[str, object]]


class Client(Protocol):
    async def __call__(self, server: FakeServer, prompt: str = "hi") -> bytes: ...


async def post(
    url: str, body: Mapping[str, object], headers: Mapping[str, str] | None = None
) -> Reply:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json=body, headers=headers) as reply,
    ):
        kept = {name.lower(): value for name, value in reply.headers.items()}
        return reply.status, kept, await reply.json()


def chat(prompt: object = "one two three", **more: object) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": prompt}], **more}


async def ask(server: FakeServer, prompt: object = "one two three", **more: object) -> Reply:
    return await post(f"{server.base_url}/chat/completions", chat(prompt, **more))


async def ask_anthropic(server: FakeServer, **more: object) -> Reply:
    return await post(f"{server.anthropic_url}/v1/messages", chat(**more), {"x-api-key": "sk"})


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
    [{}, {"messages": [1], "model": "m"}, {"messages": []}, chat(stream=True), []],
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
        (b"x" * 300_000, b"400"),
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
                await asyncio.sleep(0)
                await asyncio.sleep(0)
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

    async def main(fault: faults.Fault) -> tuple[int, int, int]:
        async with FakeServer(faults=plans.Sequence([fault])) as server:
            reader, writer = await asyncio.open_connection(server.host, server.port)
            writer.write(first + body)
            await server.until(1)
            writer.write(last + body)
            data = await reader.read()
            writer.close()
            return data.count(b"HTTP/1.1 200"), server.ledger.total, server.answered.total()

    assert asyncio.run(main(faults.Latency(0.02))) == (2, 2, 2)
    assert asyncio.run(main(faults.Latency(0.02, faults.CloseAfter()))) == (1, 1, 1)


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
        async with FakeServer(latency=lambda seen: 0.01 + 0 * seen.n) as server:
            replies = await asyncio.gather(*(ask(server, f"p{n}") for n in range(5)))
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
        async with FakeServer(latency=0.02) as server:
            asking = asyncio.ensure_future(ask(server, "left"))
            await server.until(1)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
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


def test_a_limit_of_requests_is_enforced_with_openais_headers() -> None:
    async def main() -> FakeServer:
        async with FakeServer(requests_per_minute=600, burst_seconds=0.2) as server:
            replies = [await ask(server) for _ in range(3)]
            assert [reply[0] for reply in replies] == [200, 200, 429]
            first, last = replies[0][1], replies[2][1]
            assert first["x-ratelimit-limit-requests"] == "600"
            assert first["x-ratelimit-remaining-requests"] == "1"
            assert first["x-ratelimit-reset-requests"].endswith("ms")
            assert 0 < int(last["retry-after-ms"]) <= 100
            assert last["retry-after"] == "1"
            return server

    server = asyncio.run(main())
    (throttled,) = server.throttled
    assert throttled.hint is not None
    assert 0 < throttled.hint <= 0.1
    assert throttled.scope == (None, "m")


def test_a_limit_of_tokens_is_enforced_with_anthropics_headers() -> None:
    async def main() -> None:
        async with FakeServer(tokens_per_minute=60, burst_seconds=7) as server:
            assert (await ask_anthropic(server))[0] == 200
            status, headers, body = await ask_anthropic(server)
            assert status == 429
            assert headers["anthropic-ratelimit-tokens-limit"] == "60"
            assert headers["anthropic-ratelimit-tokens-remaining"] == "0"
            assert headers["anthropic-ratelimit-tokens-reset"].endswith("Z")
            assert headers["retry-after"] == "7"
            assert "rate_limit_error" in str(body)
            assert (await ask_anthropic(server, model="other"))[0] == 200

    asyncio.run(main())


def test_openai_charges_the_declared_bound_and_anthropic_what_was_used() -> None:
    async def main() -> list[str]:
        async with FakeServer(tokens_per_minute=1000) as server:
            declared = await ask(server, max_tokens=500)
            used = await ask_anthropic(server, max_tokens=500)
            return [
                declared[1]["x-ratelimit-remaining-tokens"],
                used[1]["anthropic-ratelimit-tokens-remaining"],
            ]

    assert asyncio.run(main()) == ["497", "993"]


@pytest.mark.parametrize("code", [429, 503])
def test_too_many_at_a_time_are_refused(code: int) -> None:
    async def main() -> list[int]:
        busy = faults.Status(code)
        async with FakeServer(latency=0.05, max_concurrent=2, when_busy=busy) as server:
            replies = await asyncio.gather(*(ask(server) for _ in range(3)))
            return sorted(reply[0] for reply in replies)

    assert asyncio.run(main()) == [200, 200, code]


def test_faults_come_after_the_latency_and_each_429_is_on_record(raw_client: Client) -> None:
    async def main() -> FakeServer:
        plan = plans.Sequence([faults.limited(60), None, faults.Status(429)])
        async with FakeServer(faults=plan, latency=0.001) as server:
            for _ in range(3):
                await raw_client(server)
        return server

    server = asyncio.run(main())
    assert [each.hint for each in server.throttled] == [60.0, None]
    assert server.throttled[0].at >= server.received[0].at + 0.001
    assert server.violations(grace=0.0) == server.received[1:]
    assert server.violations(grace=60.0) == []


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


@pytest.mark.parametrize(
    ("headers", "hint"),
    [
        ({}, None),
        ({"Retry-After": "2"}, 2.0),
        ({"retry-after": "2", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
    ],
)
def test_hints_are_read(headers: dict[str, str], hint: float | None) -> None:
    assert hint_of(tuple(headers.items())) == hint


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0ms"), (0.012, "12ms"), (1, "1s"), (1.5, "1.5s"), (360, "6m0s"), (3723, "1h2m3s")],
)
def test_durations_are_written_as_go_does(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text


def at(time: float, model: str = "m") -> RequestSeen:
    return RequestSeen(0, 0, time, "hi", model, "openai", "/", 1, 0, None, {}, b"")


def test_violations_are_of_the_scope_and_within_the_hint() -> None:
    told = [
        Throttled(1.0, 2.0, (None, "m")),
        Throttled(1.5, 0.1, (None, "m")),
        Throttled(5.0, None, (None, "m")),
    ]
    rows = [at(0.9), at(1.05), at(1.2), at(1.3, "other"), at(2.9), at(3.0), at(5.5)]
    assert [seen.at for seen in within_hints(rows, told, grace=0.1)] == [1.2, 2.9]


@given(
    st.floats(1, 1e5),
    st.lists(st.tuples(st.floats(0, 10), st.integers(1, 5)), min_size=1, max_size=100),
)
def test_a_bucket_never_gives_more_than_its_size_and_its_rate(
    per_minute: float, steps: list[tuple[float, int]]
) -> None:
    bucket, now, taken = Bucket(per_minute, 10.0, 0.0), 0.0, 0
    for pause, amount in steps:
        now += pause
        if (wait := bucket.wait_for(amount, now)) == 0.0:
            bucket.take(amount)
            taken += amount
        else:
            assert wait <= amount / per_minute * 60
            assert bucket.wait_for(amount, now + wait) < 1e-6
        assert taken <= 10 + now * per_minute / 60 + 1e-3
        assert 0 <= bucket.level(now).remaining <= 10


def test_limits_take_all_or_nothing() -> None:
    limits = Limits(60, 60, burst_seconds=10)
    assert limits.admit("a", 8, 0.0) == 0.0
    assert limits.admit("a", 8, 0.0) == pytest.approx(6)
    assert limits.levels("a", 0.0)["requests"].remaining == 9
    assert limits.admit("b", 8, 0.0) == 0.0
    assert Limits(None, None).admit("a", 8, 0.0) == 0.0
