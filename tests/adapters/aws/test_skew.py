"""A machine whose clock is off: requests are signed for the time that AWS has."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

import orjson
import pytest

from headrace import LLMClient
from headrace.adapters.aws.skew import Skew
from headrace.adapters.clock import SystemClock
from headrace.core.errors import GoneError, HeldBackError
from tests.adapters.aws.test_sending import ANSWER, Here, Way, way

if TYPE_CHECKING:
    from headrace.core.reply import Reply

EXPIRED: Final = orjson.dumps({"message": "Signature expired: 20260101T000000Z is now earlier"})
MINUTE: Final = 60.0


def times(there: Way, ahead: float) -> None:
    """AWS's clock is ``ahead`` of this machine's: it refuses what is signed for another time."""
    there.server.date = formatdate(there.clock.wall() + ahead, usegmt=True)


def signed_at(there: Way) -> list[str]:
    return [headers["x-amz-date"] for _, headers, _ in there.server.seen]


@pytest.mark.parametrize(
    ("minutes", "says"), [(12, "12 minutes slow"), (-90, "90 minutes fast"), (5, "5 minutes slow")]
)
def test_a_request_is_signed_anew_for_the_time_that_aws_has(
    minutes: int, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with way() as there:
            times(there, minutes * MINUTE)
            there.server.replies = [(403, EXPIRED), (200, ANSWER), (200, ANSWER)]
            async with LLMClient("anthropic/m", api_key="unused", catalog=Here(there)) as client:
                rows = [await client.ask("hello"), await client.ask("hello again")]
            assert [(row.completion, row.attempts) for row in rows] == [("yes", 1)] * 2
            wrong, *right = signed_at(there)
            expected = there.clock.wall() + minutes * MINUTE
            assert right == [_stamp(expected)] * 2
            assert wrong == _stamp(there.clock.wall())

    with caplog.at_level(logging.WARNING, "headrace"):
        asyncio.run(main())
    [told] = caplog.messages
    assert says in told
    assert "the clock should be set" in told


def test_calls_beside_the_pipeline_are_signed_anew_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    keys = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "a-secret"}
    listed = orjson.dumps({"object": "list", "data": [{"id": "gpt-oss"}]})

    async def main() -> None:
        async with way() as there:
            there.server.date = formatdate(SystemClock().wall() + 15 * MINUTE, usegmt=True)
            there.server.replies = [(403, EXPIRED), (200, listed), (403, EXPIRED)]
            url = there.server.address
            async with LLMClient("bedrock-openai/m", base_url=url, api_key=keys) as client:
                assert [m.id for m in await client.list_models()] == ["bedrock-openai/gpt-oss"]
                with pytest.raises(GoneError, match="Signature expired"):
                    await client.list_models()
            assert len(there.server.seen) == 3

    asyncio.run(main())


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")


@pytest.mark.parametrize(("date", "minutes"), [("", 12), ("soon", 12), (None, 2)])
def test_what_is_refused_for_another_reason_stays_refused(date: str | None, minutes: int) -> None:
    async def main() -> Reply:
        async with way() as there:
            times(there, minutes * MINUTE)
            if date is not None:
                there.server.date = date
            there.server.replies = [(403, EXPIRED)]
            return await there.post()

    assert asyncio.run(main()).status == 403


def test_all_that_were_under_way_go_out_again_and_a_refusal_after_it_is_one() -> None:
    async def main() -> None:
        async with way() as there:
            times(there, 30 * MINUTE)
            there.server.replies = [(403, EXPIRED)] * 9
            found = await asyncio.gather(*(there.post() for _ in range(8)), return_exceptions=True)
            assert {type(one) for one in found} == {HeldBackError}
            assert (await there.post()).status == 403

    asyncio.run(main())


def test_a_server_whose_time_jumps_is_not_asked_for_ever() -> None:
    skew, wall = Skew(), 1_000_000_000.0
    verdicts = []
    for n in range(1, 6):
        sent = {"x-amz-date": _stamp(skew.now(wall))}
        verdicts.append(skew.is_to_blame(formatdate(wall + n * 3600, usegmt=True), sent, wall))
        wall += 1
    assert verdicts == [True, False, False, False, False]
