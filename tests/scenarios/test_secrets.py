"""An API key shows up nowhere but in the header that carries it, whatever goes wrong."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
import traceback
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import orjson
import pytest

from headrace import LLMClient
from headrace.core.errors import (
    ConfigError,
    GoneError,
    HeadraceError,
    NoRouteError,
    ProviderError,
)
from headrace.core.events import AttemptFailed, Event
from headrace.core.secret import Secret
from headrace.testing import FakeServer, HurriedClock, faults, plans, run_hurried
from headrace.testing.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import FrameType

    from headrace import APIResponse
    from headrace.testing.server import Turn

pytestmark = pytest.mark.once

Dialect: TypeAlias = Literal["openai", "anthropic"]
# One that looks like a key, and one that does not.
KEYS: Final = ("sk-CANARY0123456789abcdef", "CANARY_which_looks_like.nothing")
MARK: Final = "CANARY"
NOWHERE: Final = "http://127.0.0.1:1/v1"


@dataclass(frozen=True, slots=True)
class Echo(Fault):
    """Quotes the key in the body, as JSON, as a page, as text, or in the head of the reply."""

    status: int
    form: Literal["json", "page", "text", "header", "garbage"]

    async def play(self, turn: Turn) -> None:
        key = turn.seen.key or ""
        said = f"Incorrect API key provided: {key}. Header was 'Bearer {key}' or {key!r}"
        plain = turn.error(self.status)
        if self.status == 429:  # eight times; without a hint that takes minutes
            plain = replace(plain, headers=(("retry-after", "0.5"),))
        match self.form:
            case "json":
                data = orjson.loads(plain.body)
                data["error"].update(message=said, code=key, param=key, type=key)
                plain = replace(plain, body=orjson.dumps(data))
            case "page":
                page = f"<html><title>{said}</title><body>authorization: {key}</body></html>"
                plain = replace(plain, body=page.encode(), content_type="text/html")
            case "text":
                plain = replace(plain, body=f"{key} {said}".encode())
            case "header":
                plain = replace(plain, headers=(("retry-after", key), ("x-debug", said)))
            case "garbage":
                await turn.write(f"HTTQ/9 {said}\r\nauthorization: Bearer {key}\r\n\r\n".encode())
                turn.close()
                return
        turn.respond(plain)


@dataclass(frozen=True, slots=True)
class EchoingAnswer(Fault):
    """A good answer that quotes the key, in its head too."""

    async def play(self, turn: Turn) -> None:
        key = turn.seen.key or ""
        body = turn.answer.body.replace(b"echo: ", key.encode())
        headers = (("x-my-request-id", f"of {key}"), ("x-ratelimit-of", key))
        turn.respond(replace(turn.answer, body=body, headers=headers))


PATHS: Final = [
    *[
        Echo(status, form)
        for status in (200, 400, 401, 403, 429, 500)
        for form in ("json", "page", "text")
    ],
    Echo(401, "header"),
    Echo(500, "header"),
    Echo(200, "garbage"),
    EchoingAnswer(),
    faults.Redirect("http://other.example/", 307),
    faults.DropBefore(),
    faults.DropWithin(),
    faults.Reset(),
    faults.Stall(),
    faults.BadChunk(),
    faults.Oversized(40 << 20),
    faults.Body(b""),
]


def is_of_this_test(frame: FrameType) -> bool:
    """Its variables hold the key, as those of any caller do."""
    return frame.f_code.co_filename == __file__


def shown(error: BaseException | None) -> Iterator[str]:
    """Every form in which an error, and what hangs on it, may come to be read."""
    if error is None:
        return
    ours = (
        frame for frame in traceback.walk_tb(error.__traceback__) if not is_of_this_test(frame[0])
    )
    yield from traceback.StackSummary.extract(ours, capture_locals=True).format()
    yield from (str(error), repr(error), repr(error.args), repr(vars(error)))
    yield from (repr(error.__notes__) if hasattr(error, "__notes__") else "",)
    yield from shown(error.__cause__)
    yield from shown(error.__context__)
    if isinstance(error, HeadraceError):
        yield json.dumps(error.to_dict())
        if isinstance(error, ProviderError) and error.reply is not None:
            yield repr(error.reply.body)
        for earlier in error.history:
            yield from shown(earlier)


def check(texts: Iterator[str]) -> None:
    found = [text for text in texts if MARK in text]
    assert found == []


class Run:
    """A good and a bad row with everything on; what can be looked at afterwards."""

    def __init__(self, fault: Fault, dialect: Dialect, key: str, folder: Path) -> None:
        self.fault = fault
        self.dialect = dialect
        self.key = key
        self.folder = folder
        self.clock = HurriedClock(50)
        self.events: list[str] = []
        self.errors: list[BaseException] = []
        self.responses: list[APIResponse[Any]] = []

    def client(self, server: FakeServer) -> LLMClient:
        client = LLMClient(
            f"{self.dialect}/m",
            base_url=server.base_url if self.dialect == "openai" else server.anthropic_url,
            api_key=self.key,
            cache=self.folder / "cache.db",
            max_attempts=1,
            request_timeout=25,
            patience=5,
            clock=self.clock,
        )
        client.add_listener(lambda event: self.events.append(repr(event)))
        return client

    async def play(self) -> LLMClient:
        asyncio.get_running_loop().set_debug(True)
        async with FakeServer(faults=plans.per_prompt({"bad": [self.fault] * 99})) as server:
            async with self.client(server) as client:
                try:
                    await client.process_prompts_async(
                        ["good", "bad"], show_progress=False, journal=self.folder / "journal"
                    )
                except NoRouteError as error:
                    self.errors.append(error)
            assert {seen.key for seen in server.received} == {self.key}
            assert server.counts["bad"] >= 1
        assert client.last_run is not None
        self.responses = list(client.last_run.responses)
        self.errors += [row.error for row in self.responses if row.error is not None]
        return client


@pytest.mark.thorough
@pytest.mark.parametrize("key", KEYS, ids=["like a key", "like nothing"])
@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
@pytest.mark.parametrize("fault", PATHS, ids=repr)
def test_no_error_log_or_file_holds_the_key(
    fault: Fault, dialect: Dialect, key: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(fault, dialect, key, tmp_path)
    with caplog.at_level(logging.DEBUG):
        client = run_hurried(run.play(), run.clock)
    answered = sum(row.completion is not None for row in run.responses)
    assert (answered, len(run.errors)) == ((2, 0) if fault == EchoingAnswer() else (1, 1))
    for error in run.errors:
        check(shown(error))
    check(iter(run.events))
    check(record.getMessage() + str(record.__dict__) for record in caplog.records)
    check(iter([repr(run.responses), repr(client.last_run)]))
    check(iter([repr(client), str(client), repr(client.config), repr(vars(client))]))
    check(pickle.dumps(response).decode("latin-1") for response in run.responses)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) >= 2
    check(path.read_bytes().decode("latin-1") for path in files)


@pytest.mark.parametrize("key", KEYS)
def test_a_client_shows_no_key_and_does_not_carry_it_away(key: str) -> None:
    client = LLMClient("openai/m", base_url=NOWHERE, api_key=key)
    check(iter([repr(client), f"{client}", repr(client.config), client.config.model_dump_json()]))
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError) as refused:
            copied(client)
        check(shown(refused.value))
    secret = Secret(key)
    with pytest.raises(TypeError) as refused:
        pickle.dumps([secret])
    check(iter([repr(secret), str(secret), f"{secret!s:>99}", *shown(refused.value)]))


class Own(LLMClient):
    """A client whose settings are its own business."""

    def __init__(self) -> None:
        super().__init__("openai/m", base_url=NOWHERE)


@pytest.mark.parametrize("key", KEYS)
def test_a_client_shows_no_password_of_its_proxy_and_does_not_carry_it_away(key: str) -> None:
    client = LLMClient("openai/m", base_url=NOWHERE, proxy=f"http://me:{key}@127.0.0.1:1")
    config = client.config
    check(iter([repr(client), repr(vars(client)), repr(config), str(config), repr(dict(config))]))
    check(iter([config.model_dump_json(), repr(config.model_dump())]))
    assert "http://127.0.0.1:1" in config.model_dump_json()
    for secret in (client, config, config.proxy):
        with pytest.raises(TypeError, match="put it into the environment") as refused:
            pickle.dumps(secret)
        check(shown(refused.value))


def test_a_client_with_a_proxy_that_wants_no_password_travels() -> None:
    client = LLMClient("openai/m", base_url=NOWHERE, proxy="http://127.0.0.1:1")
    there = pickle.loads(pickle.dumps(client))
    assert there.config == client.config
    assert str(there.config.proxy) == "http://127.0.0.1:1"
    own = pickle.loads(pickle.dumps(Own()))
    assert type(own) is Own


@pytest.mark.parametrize("mark", ["/", "?", "#", "@", " ", "\\", "é", "\n"])
def test_a_proxy_that_is_no_url_is_refused_unseen(mark: str) -> None:
    for url in (f"http://me:1{mark}{KEYS[0]}@host:3128", f"http://me:{KEYS[0]}{mark}2@host:3128"):
        try:
            client = LLMClient("openai/m", base_url=NOWHERE, proxy=url)
        except ConfigError as error:
            check(iter([str(error), repr(error)]))
        else:
            assert str(client.config.proxy) == "http://host:3128"


def test_a_client_that_cannot_connect_shows_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key is that of the environment here, and no proxy leads to the endpoint."""

    async def main(proxy: str) -> NoRouteError:
        async with LLMClient("openai/m", proxy=proxy, clock=clock) as client:
            with pytest.raises(NoRouteError) as stopped:
                await client.process_prompts_async(["hi"], show_progress=False)
            return stopped.value

    clock = HurriedClock(50)
    monkeypatch.setenv("OPENAI_API_KEY", KEYS[0])
    with FakeServer.in_thread() as refusing:
        for there in ("127.0.0.1:1", f"127.0.0.1:{refusing.port}"):
            check(shown(run_hurried(main(f"http://{there}"), clock)))
            with_password = run_hurried(main(f"http://me:{KEYS[1]}@{there}"), clock)
            check(iter([str(with_password), repr(with_password), str(with_password.to_dict())]))
    assert refusing.received == []


@pytest.mark.parametrize(
    "key", [f" {KEYS[0]}", f"{KEYS[0]}\n", f"{KEYS[0]}\r\nx: y", f"{KEYS[0]}é"]
)
def test_a_key_that_fits_no_header_is_refused_unseen(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError) as refused:
        LLMClient("openai/m", base_url=NOWHERE, api_key=key)
    check(shown(refused.value))
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY") as refused:
        LLMClient("openai/m")
    check(shown(refused.value))


@pytest.mark.parametrize(
    "wrong", [{"base_url": "nowhere"}, {"max_attempts": 0}, {"max_attempt": 5}, {"ca_file": "x"}]
)
def test_a_wrong_setting_beside_a_key_is_refused_without_it(wrong: dict[str, Any]) -> None:
    """Also by a traceback with local variables, which shows the client that was not made."""
    with pytest.raises((ConfigError, TypeError)) as refused:
        LLMClient("openai/m", api_key=KEYS[0], **wrong)
    check(shown(refused.value))


def test_a_key_that_is_spoiled_during_a_run_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """What listeners get has its traceback still."""
    texts: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, AttemptFailed):
            texts.extend(shown(event.error))

    async def main() -> None:
        async with LLMClient("openai/m") as client:
            client.add_listener(listen)
            monkeypatch.setenv("OPENAI_API_KEY", f"{KEYS[0]}\n")
            await client.ask("hi")

    monkeypatch.setenv("OPENAI_API_KEY", KEYS[0])
    asyncio.run(main())
    assert "in require" in str(texts)
    check(iter(texts))


def test_a_base_url_with_a_password_is_refused_unseen() -> None:
    for url in (f"https://me:{KEYS[0]}@host/v1", f"https://host/v1?key={KEYS[0]}"):
        with pytest.raises(ConfigError) as refused:
            LLMClient("openai/m", base_url=url)
        check(iter([str(refused.value), repr(refused.value)]))


def test_the_check_itself_finds_a_key() -> None:
    with pytest.raises(AssertionError):
        check(shown(GoneError("no", details={"key": KEYS[0]})))
    with pytest.raises(json.JSONDecodeError) as failed:
        json.loads(KEYS[1])
    failed.value.args = ("no",)
    with pytest.raises(AssertionError, match="parse_constant"):
        check(shown(failed.value))
