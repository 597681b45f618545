"""Tokens for Vertex, from a token server on this machine through google-auth itself.

The server runs in the loop that waits for the tokens: were they asked for there, nothing would
ever come.
"""

from __future__ import annotations

import asyncio
import json
from threading import Event
from threading import enumerate as enumerate_threads
from typing import TYPE_CHECKING

import pytest

from headrace import LLMClient, RequestContext
from headrace.adapters import google_auth
from headrace.core.errors import GoneError, HeldBackError, NotSentError
from headrace.core.secret import Masked
from headrace.providers.catalog import Catalog
from headrace.testing import HurriedClock, faults
from tests.adapters.google.server import VARIABLE, Way, way

if TYPE_CHECKING:
    from pathlib import Path

    from headrace.core.model import Route
    from headrace.providers.base import Exchange, ProviderRequest

pytestmark = pytest.mark.once


def test_a_service_account_gets_one_token_for_many_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "pays")

    async def main() -> None:
        async with way(tmp_path) as there:
            answers = await asyncio.gather(*(there.ask() for _ in range(20)))
            await there.ask()
            assert {answer.completion for answer in answers} == {"echo: hi"}
            assert set(there.sent) == {"Bearer ya29.token-0001"}
            [claims] = there.tokens.asked
            assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
            seen = there.server.received[0]
            where = "/v1/projects/of-the-file/locations/global/publishers/google"
            assert seen.path == f"{where}/models/m:generateContent"
            assert seen.headers["x-goog-user-project"] == "pays"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("lasts", "at", "asked"),
    [(3600, 3290, 1), (3600, 3310, 2), (600, 310, 2), (100, 40, 1), (100, 60, 2)],
)
def test_a_token_is_renewed_before_its_end(tmp_path: Path, lasts: int, at: int, asked: int) -> None:
    """Five minutes before it, and a short one at half its time."""

    async def main() -> None:
        async with way(tmp_path) as there:
            there.tokens.lasts = lasts
            now = [0.0]
            tokens = google_auth.Tokens(lambda: now[0])
            await tokens.token("vertex/m")
            now[0] = at
            several = await asyncio.gather(*(tokens.token("vertex/m") for _ in range(9)))
            assert {token.value for token in several} == {f"ya29.token-000{asked}"}
            assert len(there.tokens.asked) == asked

    asyncio.run(main())


def test_a_slow_token_server_holds_one_thread(tmp_path: Path) -> None:
    """The others are wanted for the names of hosts."""

    async def main() -> None:
        async with way(tmp_path) as there:
            there.tokens.opens.clear()
            tokens = google_auth.Tokens()
            waiting = [asyncio.ensure_future(tokens.token("vertex/m")) for _ in range(9)]
            await there.tokens.is_asked.wait()
            assert sum(thread.name.startswith("asyncio_") for thread in enumerate_threads()) == 1
            there.tokens.opens.set()
            assert len({token.value for token in await asyncio.gather(*waiting)}) == 1

    asyncio.run(main())


def test_loops_in_several_threads_ask_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with way(tmp_path) as there:
            there.tokens.opens.clear()
            tokens = google_auth.Tokens()
            began = [Event() for _ in range(3)]

            def ask(event: Event) -> str:
                async def inner() -> str:
                    event.set()
                    return (await tokens.token("vertex/m")).value

                return asyncio.run(inner())

            asking = [asyncio.ensure_future(asyncio.to_thread(ask, event)) for event in began]
            await there.tokens.is_asked.wait()
            await asyncio.gather(*(asyncio.to_thread(event.wait, 20.0) for event in began))
            there.tokens.opens.set()
            assert set(await asyncio.gather(*asking)) == {"ya29.token-0001"}

    asyncio.run(main())


def test_while_a_token_is_good_a_renewal_may_fail(tmp_path: Path) -> None:
    async def main() -> None:
        async with way(tmp_path) as there:
            now = [0.0]
            tokens = google_auth.Tokens(lambda: now[0])
            await tokens.token("vertex/m")
            there.tokens.refusal = (400, {"error": "invalid_grant"})
            for moment, asked in ((3400, 2), (3401, 2), (3431, 3)):
                now[0] = moment
                assert (await tokens.token("vertex/m")).value == "ya29.token-0001"
                assert len(there.tokens.asked) == asked
            now[0] = 3610
            with pytest.raises(GoneError, match="invalid_grant"):
                await tokens.token("vertex/m")

    asyncio.run(main())


def test_a_refused_token_is_renewed_once(tmp_path: Path) -> None:
    async def main() -> None:
        refusals = [faults.Status(401)] * 2
        async with way(tmp_path, *refusals) as there:
            with pytest.raises(HeldBackError):
                await there.ask()
            with pytest.raises(GoneError, match="401"):
                await there.ask()
            assert there.sent == ["Bearer ya29.token-0001", "Bearer ya29.token-0002"]
            await there.ask()
            assert len(there.tokens.asked) == 2

    asyncio.run(main())


def test_after_a_refusal_the_key_file_is_read_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with way(tmp_path, faults.Status(401)) as there:
            with pytest.raises(HeldBackError):
                await there.ask()
            path = tmp_path / "account.json"
            account = json.loads(path.read_text(encoding="utf-8"))
            path.write_text(json.dumps({**account, "project_id": "new"}), encoding="utf-8")
            await there.ask()
            assert there.server.received[-1].path.startswith("/v1/projects/new/")

    asyncio.run(main())


class Here(Catalog):
    """Sends whatever a client asks along one way."""

    def __init__(self, there: Way) -> None:
        super().__init__()
        self.there = there

    def bind(self, context: RequestContext, route: Route, exchange: Exchange) -> ProviderRequest:
        del route, exchange
        return self.there.request(context)


def test_a_run_goes_on_over_a_token_that_was_withdrawn(tmp_path: Path) -> None:
    async def main() -> None:
        async with way(tmp_path, None, faults.Status(401)) as there:
            async with LLMClient("vertex/m", catalog=Here(there), clock=HurriedClock()) as client:
                for _ in range(2):
                    response = await client.ask("hi")
                    assert response.completion == "echo: hi"
            tokens = [f"Bearer ya29.token-000{n}" for n in (1, 1, 2)]
            assert there.sent == tokens

    asyncio.run(main())


def test_a_refusal_by_the_token_server_closes_the_route(tmp_path: Path) -> None:
    async def main() -> None:
        async with way(tmp_path) as there:
            said: dict[str, object] = {
                "error": "invalid_grant",
                "error_description": "Account has been deleted",
            }
            there.tokens.refusal = (400, said)
            with pytest.raises(GoneError, match="Account has been deleted") as caught:
                await there.ask()
            assert caught.value.message.startswith("vertex/m: Google gave no access token")
            assert "gcloud auth application-default login" in caught.value.message
            assert "PRIVATE" not in repr(caught.value.__dict__)
            assert not there.sent

    asyncio.run(main())


def test_a_token_server_out_of_reach_is_tried_again(tmp_path: Path) -> None:
    async def main() -> None:
        async with way(tmp_path) as there:
            path = tmp_path / "account.json"
            account = json.loads(path.read_text(encoding="utf-8"))
            account["token_uri"] = "http://127.0.0.1:9/token"
            path.write_text(json.dumps(account), encoding="utf-8")
            with pytest.raises(NotSentError, match="token server gave no token"):
                await there.ask()

    asyncio.run(main())


@pytest.mark.parametrize("content", [None, "{", "{}"])
def test_without_credentials_a_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    path = tmp_path / "nothing.json"
    if content is None:
        monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    else:
        path.write_text(content, encoding="utf-8")
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))

    async def main() -> None:
        async with way(tmp_path) as there:
            with pytest.raises(GoneError, match="no credentials of Google Cloud") as caught:
                await there.ask()
            assert "run gcloud auth application-default login" in caught.value.message

    asyncio.run(main())


def test_who_is_cancelled_takes_no_token_from_the_others(tmp_path: Path) -> None:
    async def main() -> None:
        async with way(tmp_path) as there:
            first = asyncio.ensure_future(there.ask())
            second = asyncio.ensure_future(there.ask())
            for _ in range(3):
                await asyncio.sleep(0)
            first.cancel()
            assert (await second).completion == "echo: hi"
            assert len(there.tokens.asked) == 1
            with pytest.raises(asyncio.CancelledError):
                await first

    asyncio.run(main())


def test_a_token_of_the_environment_is_used_as_it_is_and_may_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")

    async def main() -> None:
        async with way(tmp_path, None, None, faults.Status(401)) as there:
            for token in ("ya29.given-one-0000", "ya29.given-two-0000"):
                monkeypatch.setenv(VARIABLE, token)
                await there.ask()
                assert there.sent[-1] == f"Bearer {token}"
            with pytest.raises(GoneError, match="401"):
                await there.ask()
            assert there.server.received[0].path.startswith("/v1/projects/mine/")
            assert not there.tokens.asked

    asyncio.run(main())


def test_a_token_that_was_replaced_meanwhile_is_no_reason_to_close() -> None:
    new = Masked("ya29.new-token-0000")
    assert google_auth.is_renewed("Bearer ya29.old-token-0000", new)
    assert not google_auth.is_renewed("Bearer ya29.new-token-0000", new)


def test_a_token_that_may_not_do_this_is_not_renewed(tmp_path: Path) -> None:
    async def main() -> None:
        async with way(tmp_path, faults.Status(403)) as there:
            with pytest.raises(GoneError, match="403"):
                await there.ask()
            await there.ask()
            assert len(there.tokens.asked) == 1

    asyncio.run(main())
