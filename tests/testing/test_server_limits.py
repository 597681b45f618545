"""The fake server keeps limits as real servers do, and records who does not."""

from __future__ import annotations

import asyncio
import math

import pytest

from headrace.testing import FakeServer, RequestSeen, faults, plans
from headrace.testing.seen import Throttled, hint_of
from headrace.testing.server.dialects import go_duration
from headrace.testing.server.ledger import within_hints
from headrace.testing.server.limits import Limits
from tests.testing.asking import Client, Held, ask, ask_anthropic, chat, post


def test_a_limit_of_requests_is_enforced_with_openais_headers() -> None:
    async def main() -> FakeServer:
        # So slow a rate that nothing comes back while three are asked.
        async with FakeServer(requests_per_minute=6, burst_seconds=20) as server:
            replies = [await ask(server) for _ in range(3)]
            assert [reply[0] for reply in replies] == [200, 200, 429]
            first, last = replies[0][1], replies[2][1]
            assert first["x-ratelimit-limit-requests"] == "6"
            assert first["x-ratelimit-remaining-requests"] == "1"
            assert 9 <= float(first["x-ratelimit-reset-requests"].removesuffix("s")) <= 10
            assert 0 < int(last["retry-after-ms"]) <= 10_000
            assert int(last["retry-after"]) == math.ceil(int(last["retry-after-ms"]) / 1_000)
            return server

    server = asyncio.run(main())
    (throttled,) = server.throttled
    assert throttled.hint is not None
    assert 0 < throttled.hint <= 10
    assert throttled.scope == (None, "m")


def test_keys_of_one_account_share_its_limits_and_are_told_its_name() -> None:
    async def main() -> None:
        of = {"sk-one": "org-ours", "sk-two": "org-ours", "sk": "org-theirs"}
        async with FakeServer(requests_per_minute=6, burst_seconds=20, accounts=of) as server:
            url = f"{server.base_url}/chat/completions"
            told = []
            for key in (*of, "sk-four"):
                sent = {"Authorization": f"Bearer {key}"}
                _, headers, _ = await post(url, chat(stream=False), headers=sent)
                told.append(headers["x-ratelimit-remaining-requests"])
                assert headers.get("openai-organization") == of.get(key)
            assert told == ["1", "0", "1", "1"]
            _, headers, _ = await ask_anthropic(server)
            assert headers["anthropic-organization-id"] == "org-theirs"

    asyncio.run(main())


def test_a_limit_of_tokens_is_enforced_with_anthropics_headers() -> None:
    async def main() -> None:
        async with FakeServer(tokens_per_minute=6, burst_seconds=70) as server:
            assert (await ask_anthropic(server))[0] == 200
            status, headers, body = await ask_anthropic(server)
            assert status == 429
            assert headers["anthropic-ratelimit-tokens-limit"] == "6"
            assert headers["anthropic-ratelimit-tokens-remaining"] == "0"
            assert headers["anthropic-ratelimit-tokens-reset"].endswith("Z")
            assert 60 <= int(headers["retry-after"]) <= 70
            assert "rate_limit_error" in str(body)
            assert (await ask_anthropic(server, model="other"))[0] == 200

    asyncio.run(main())


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/v2/chat", {"x-trial-endpoint-call-limit": "6", "x-trial-endpoint-call-remaining": "0"}),
        ("/api/chat", {}),
    ],
)
def test_limits_are_enforced_at_cohere_and_ollama(path: str, told: dict[str, str]) -> None:
    async def main() -> FakeServer:
        async with FakeServer(requests_per_minute=6, burst_seconds=10) as server:
            url, body = f"{server.anthropic_url}{path}", chat(stream=False)
            status, headers, _ = await post(url, body)
            assert status == 200
            assert {n: v for n, v in headers.items() if "limit" in n or "remaining" in n} == told
            status, headers, body = await post(url, body)
            assert status == 429
            assert 0 < int(headers["retry-after"]) <= 10
            assert "Rate limit reached" in str(body)
            return server

    assert len(asyncio.run(main()).throttled) == 1


def test_openai_charges_the_declared_bound_and_anthropic_what_was_used() -> None:
    async def main() -> list[str]:
        async with FakeServer(tokens_per_minute=10, burst_seconds=6_000) as server:
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
        held = Held()
        async with FakeServer(faults=lambda _: held, max_concurrent=2, when_busy=busy) as server:
            asking = asyncio.gather(*(ask(server) for _ in range(3)))
            await server.until(3)
            held.free.set()
            return sorted(reply[0] for reply in await asking)

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


def test_limits_take_all_or_nothing() -> None:
    limits = Limits(60, 60, burst_seconds=10)
    assert limits.admit("a", 8, 0.0) == 0.0
    assert limits.admit("a", 8, 0.0) == pytest.approx(6)
    assert limits.levels("a", 0.0)["requests"].remaining == 9
    assert limits.admit("b", 8, 0.0) == 0.0
    assert Limits(None, None).admit("a", 8, 0.0) == 0.0
