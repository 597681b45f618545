"""Several keys or regions for one model are several routes, which share nothing but answers."""

from __future__ import annotations

import traceback
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pytest

from headrace import (
    ConfigError,
    Endpoint,
    LLMClient,
    Model,
    NoRouteError,
    RequestContext,
    Responses,
    register_endpoint,
    unregister_endpoint,
)
from headrace.providers.catalog import Catalog
from headrace.testing import FakeServer, HurriedClock, Script, run_hurried, scripted
from headrace.testing.faults import Status, limited

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headrace.core.model import Route
    from headrace.testing.faults import Fault
    from headrace.testing.provider import Outcome
    from headrace.testing.seen import RequestSeen
    from tests.scenarios.conftest import World

pytestmark = pytest.mark.once
KEYS: Final = ("sk-first-0123456789", "sk-second-0123456789", "sk-third-0123456789")
PROMPTS: Final = [f"p{n}" for n in range(200)]


def ask(client: LLMClient, prompts: list[str], **options: Any) -> Responses[Any]:
    async def main() -> Responses[Any]:
        async with client:
            kept: Responses[Any] = await client.process_prompts_async(
                prompts, show_progress=False, **options
            )
            return kept

    return run_hurried(main(), HurriedClock())


def test_a_revoked_key_and_a_limited_one_lose_nothing() -> None:
    revoked, busy, _ = KEYS
    refused: Counter[str] = Counter()

    def faults(seen: RequestSeen) -> Fault | None:
        if seen.key == revoked:
            return Status(401)
        refused[seen.key or ""] += 1
        return limited(0.5) if refused[seen.key or ""] in {10, 11, 90} else None

    with FakeServer.in_thread(faults=faults, latency=0.01) as server:
        client = LLMClient(
            "openai/fake",
            base_url=server.base_url,
            api_key=[revoked, busy],
            max_concurrent_requests=8,
            clock=HurriedClock(),
        )
        rows = ask(client, PROMPTS)
    assert [row.completion for row in rows] == [f"echo: {p}" for p in PROMPTS]
    assert {row.route for row in rows} == {"openai/fake#2"}
    assert set(server.answered.values()) == {1}
    tried = Counter(seen.key for seen in server.received)
    assert tried[revoked] <= 8  # what was in flight before its first 401 came back


def test_healthy_keys_share_the_work_and_a_quiet_one_gets_less() -> None:
    def faults(seen: RequestSeen) -> Fault | None:
        return limited(1.0) if seen.key == KEYS[1] and seen.n < 40 else None

    with FakeServer.in_thread(faults=faults, latency=0.01) as server:
        client = LLMClient(
            "openai/fake",
            base_url=server.base_url,
            api_key=list(KEYS),
            max_concurrent_requests=9,
            clock=HurriedClock(),
        )
        rows = ask(client, PROMPTS)
    assert not rows.failed
    answered = Counter(row.route for row in rows)
    assert set(answered) == {"openai/fake", "openai/fake#2", "openai/fake#3"}
    assert min(answered["openai/fake"], answered["openai/fake#3"]) >= 50
    assert answered["openai/fake#2"] <= answered["openai/fake"]


def test_a_key_whose_requests_fail_is_left_alone_for_a_while() -> None:
    def faults(seen: RequestSeen) -> Fault | None:
        return Status(500) if seen.key == KEYS[0] else None

    with FakeServer.in_thread(faults=faults, latency=0.01) as server:
        client = LLMClient(
            "openai/fake",
            base_url=server.base_url,
            api_key=KEYS[:2],
            max_concurrent_requests=8,
            clock=HurriedClock(),
        )
        rows = ask(client, PROMPTS)
    assert {row.route for row in rows.succeeded} == {"openai/fake#2"}
    assert not rows.failed
    assert Counter(seen.key for seen in server.received)[KEYS[0]] <= 30


def test_a_server_of_ones_own_that_wants_a_key_says_which_is_not_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with FakeServer.in_thread(api_key=KEYS[0]) as server:
        monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{server.port}")
        client = LLMClient("ollama/fake")
        with pytest.raises(NoRouteError, match="none was sent, since OLLAMA_API_KEY is not set"):
            client.process_prompts_sync(PROMPTS, show_progress=False)
        monkeypatch.setenv("OLLAMA_API_KEY", KEYS[0])
        assert len(client.process_prompts_sync(PROMPTS, show_progress=False).succeeded) == 200
        client.close()


def test_when_every_key_is_revoked_the_run_stops_and_names_each() -> None:
    with FakeServer.in_thread(api_key="another") as server:
        client = LLMClient("openai/fake", base_url=server.base_url, api_key=KEYS[:2])
        with pytest.raises(NoRouteError, match=r"openai/fake at .*openai/fake#2 at ") as caught:
            client.process_prompts_sync(PROMPTS, show_progress=False)
        client.close()
    assert not any(key in str(caught.value) for key in KEYS)


def test_each_key_has_the_limits_of_its_row(
    world: type[World], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, key in enumerate(KEYS, start=1):
        monkeypatch.setenv(f"TEST_API_KEY_{number}", key)
    names = tuple(f"TEST_API_KEY_{n}" for n in (1, 2, 3))
    row = Model(id="openai/m", key_env=names, requests_per_minute=60)
    sim = world(Script(), [row])
    assert len(sim.run(PROMPTS[:180]).succeeded) == 180
    assert 55 <= sim.elapsed <= 65
    assert Counter(call.route for call in sim.script.calls).most_common() == [
        ("openai/m", 60),
        ("openai/m#2", 60),
        ("openai/m#3", 60),
    ]


def test_an_answer_is_known_whichever_key_it_came_with(tmp_path: Path) -> None:
    journal, cache = tmp_path / "run.journal", tmp_path / "answers.db"
    with FakeServer.in_thread() as server:

        def client(*keys: str) -> LLMClient:
            return LLMClient(
                "openai/fake", base_url=server.base_url, api_key=list(keys), cache=cache
            )

        ask(client(*KEYS), PROMPTS, journal=journal)
        again = ask(client(KEYS[0]), PROMPTS, journal=journal)
        cached = ask(client(*KEYS[1:]), PROMPTS)
    assert Counter(row.source for row in again) == {"journal": len(PROMPTS)}
    assert Counter(row.source for row in cached) == {"cache": len(PROMPTS)}
    assert len(server.received) == len(PROMPTS)
    assert len({row.route for row in again}) == 3
    assert not any(key.encode() in journal.read_bytes() for key in KEYS)


@pytest.fixture
def _regional() -> Iterator[None]:
    register_endpoint(
        Endpoint(
            name="regional",
            wire="openai_chat",
            base_url="https://api.{region}.vendor.test/v1",
            region_env=("VENDOR_REGION",),
            auth="none",
        )
    )
    yield
    unregister_endpoint("regional")


@pytest.mark.usefixtures("_regional")
def test_each_region_is_a_route_and_their_answers_are_the_same(tmp_path: Path) -> None:
    def rule(context: RequestContext, route: Route, n: int) -> Outcome:
        del context, n
        seen.add((route.id, route.base_url))
        return 0.1

    seen: set[tuple[str, str]] = set()
    script = Script(rule)

    def rows(*regions: str) -> Responses[Any]:
        client = LLMClient(
            Model(id="regional/m", regions=regions),
            cache=tmp_path / "answers.db",
            catalog=Catalog({"openai_chat": scripted(script)}),
            clock=HurriedClock(),
        )
        return ask(client, PROMPTS)

    assert not rows("us-east-1", "eu-west-1").failed
    assert seen == {
        ("regional/m@us-east-1", "https://api.us-east-1.vendor.test/v1"),
        ("regional/m@eu-west-1", "https://api.eu-west-1.vendor.test/v1"),
    }
    assert Counter(row.source for row in rows("ap-south-1")) == {"cache": len(PROMPTS)}


@pytest.mark.usefixtures("_regional")
def test_a_region_is_looked_for_and_missed_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigError, match=r"^regional/m needs a region; set .* VENDOR_REGION, or give regions="
    ):
        LLMClient("regional/m")
    monkeypatch.setenv("VENDOR_REGION", "us-east-1")
    assert "regional/m@us-east-1" in repr(LLMClient("regional/m"))
    for wrong in ("us east", "evil.test/", "a@b", "", "US"):
        with pytest.raises(ConfigError, match="must be names such as us-east-1"):
            LLMClient(Model(id="regional/m", regions=(wrong,)))


@pytest.mark.parametrize("at", [0, 1])
def test_a_wrong_key_of_several_shows_none_of_them(at: int) -> None:
    keys = [*KEYS[:2]]
    keys[at] += "\n"
    with pytest.raises(ConfigError, match="no header may carry") as caught:
        LLMClient("openai/m", api_key=keys)
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [frame for frame in told.stack if "/headrace/" in frame.filename]
    assert ours
    assert not any(key in str(frame.locals) for frame in ours for key in KEYS)


def test_what_two_keys_cannot_be() -> None:
    for keys in ([], ["sk-a", "sk-a"]):
        with pytest.raises(ConfigError, match="empty list, or has a key twice"):
            LLMClient("openai/m", api_key=keys)
    with pytest.raises(ConfigError, match="leave out one"):
        LLMClient(Model(id="openai/m", key_env=("A",)), api_key="sk-a")
    with pytest.raises(ConfigError, match="takes no key"):
        LLMClient(Model(id="local/smollm2", key_env=("A",)))
    with pytest.raises(ConfigError, match="has no regions"):
        LLMClient(Model(id="openai/m", regions=("us-east-1",)), api_key="sk-a")
    with pytest.raises(ConfigError, match="names of environment variables") as caught:
        LLMClient(Model(id="openai/m", key_env=(KEYS[0],)))
    assert KEYS[0] not in str(caught.value)
    with pytest.raises(ConfigError, match="the name of another model's route"):
        LLMClient(["openai/m", "openai/m#2"], api_key=["sk-a", "sk-b"])
