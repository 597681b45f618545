"""What a reply costs: as the provider says, by the user's row, by price data, or unknown."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pytest

from headrace import LLMClient, Model, Price
from headrace.core.errors import ContentFilterError
from headrace.core.model import Endpoint, Route
from headrace.core.reply import Reply
from headrace.core.response import APIResponse, Usage
from headrace.engine.pricing import Pricing
from headrace.providers.base import ProviderRequest
from headrace.providers.catalog import Catalog
from headrace.testing import VirtualClock, run_virtual
from headrace.wire import openai_chat, openai_responses
from tests.wire.golden import context, route

pytestmark = pytest.mark.once
GPT: Final = "openai/gpt-5.6"
TODAY: Final = datetime(2026, 11, 21, tzinfo=UTC).timestamp()


def replying(usage: dict[str, Any], **more: Any) -> Catalog:
    """Every send is answered with these numbers, and read by the real codec."""
    message = {"role": "assistant", "content": "yes"}
    choice = {"index": 0, "message": message, "finish_reason": "stop", **more.pop("choice", {})}
    body = json.dumps({"choices": [choice], "usage": usage, **more}).encode()

    class Fixed(ProviderRequest):
        __slots__ = ()

        async def execute_once(self) -> APIResponse[object]:
            return openai_chat.decode(self.context, self.route, Reply(200, body, {}))

    return Catalog({"openai_chat": Fixed})


PLAIN: Final = {"prompt_tokens": 1_000, "completion_tokens": 100, "total_tokens": 1_100}


def asked(
    catalog: Catalog, model: str | Model = GPT, *, wall: float = TODAY, **options: Any
) -> tuple[APIResponse[Any], str]:
    """One prompt's response, and the summary's sentences."""
    clock = VirtualClock(epoch=wall)

    async def main() -> tuple[APIResponse[Any], str]:
        options.setdefault("api_key", "k")
        async with LLMClient(model, catalog=catalog, clock=clock, **options) as client:
            [response] = await client.process_prompts_async(["p"], show_progress=False)
            assert client.last_run is not None
            return response, str(client.last_run.summary)

    return run_virtual(main, clock=clock)


def test_price_data_price_a_reply_and_the_summary_says_of_when_they_are() -> None:
    response, said = asked(replying(PLAIN))
    assert response.cost == 1_000 * 4e-6 + 100 * 20e-6
    assert "Prices are those of genai-prices 0." in said
    assert ", the newest of 2026-" in said
    assert "ago" not in said


def test_old_price_data_are_called_old() -> None:
    _, said = asked(replying(PLAIN), wall=TODAY + timedelta(days=600).total_seconds())
    assert " days ago; update them with pip install -U genai-prices." in said


def test_a_row_of_the_user_wins_over_price_data() -> None:
    own = Model(id=GPT, price=Price(input=Decimal(1), output=Decimal(2)))
    response, said = asked(replying(PLAIN, service_tier="flex"), own)
    assert response.cost == 0.0012
    assert "genai-prices" not in said


def test_what_the_provider_says_wins_over_everything() -> None:
    own = Model(id=GPT, price=Price(input=Decimal(1), output=Decimal(2)))
    for model in (GPT, own):
        response, said = asked(replying({**PLAIN, "cost": 0.00012345}), model)
        assert response.cost_nanos == 123_450
        assert "genai-prices" not in said


@pytest.mark.parametrize(
    ("said", "nanos"),
    [
        ({"cost": 1.5e-07}, 150),
        ({"cost": 0}, 0),
        ({"cost": 2}, 2_000_000_000),
        ({"cost": 0.1, "is_byok": False}, 100_000_000),
        (
            {"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.2}},
            210_000_000,
        ),
        ({"cost_in_usd_ticks": 12_345}, 1_235),
        ({"cost_in_usd_ticks": 12_344, "cost": 9}, 1_234),
    ],
)
def test_reported_costs_are_exact(said: dict[str, Any], nanos: int) -> None:
    unpriced = "openai/of-nobody"
    response, _ = asked(replying({**PLAIN, **said}), unpriced)
    assert response.cost_nanos == nanos


def test_the_responses_api_reports_costs_too() -> None:
    usage = {"input_tokens": 9, "output_tokens": 1, "total_tokens": 10, "cost": 0.5}
    said = [{"type": "message", "content": [{"type": "output_text", "text": "yes"}]}]
    body = json.dumps({"status": "completed", "output": said, "usage": usage}).encode()
    response = openai_responses.decode(context({}), route("openai_responses"), Reply(200, body, {}))
    assert (response.completion, response.cost_nanos) == ("yes", 500_000_000)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"cost": -0.1},
        {"cost": True},
        {"cost": "0.1"},
        {"cost": 1e9},
        {"cost": {"total_cost": 0.1}},
        {"cost_in_usd_ticks": -1},
        {"cost_in_usd_ticks": 0.5},
        {"cost": 0.01, "is_byok": True},
    ],
)
def test_what_is_no_cost_is_none_reported(said: dict[str, Any]) -> None:
    response, _ = asked(replying({**PLAIN, **said}), "openai/of-nobody")
    assert response.cost is None


def test_a_blocked_answer_keeps_the_cost_that_came_with_it() -> None:
    filtered = {
        "message": {"role": "assistant", "content": None},
        "finish_reason": "content_filter",
    }
    catalog = replying({**PLAIN, "cost": 0.25}, choice=filtered)
    response, _ = asked(catalog, max_attempts=1)
    assert response.error is not None
    assert response.cost == 0.25


@pytest.mark.parametrize(
    ("tier", "share"), [("default", 1.0), ("flex", 0.5), ("priority", 2.0), ("other", None)]
)
def test_the_tier_that_the_reply_names_is_what_is_paid(tier: str, share: float | None) -> None:
    response, _ = asked(replying(PLAIN, service_tier=tier))
    assert response.cost == (None if share is None else 0.006 * share)


def test_another_server_at_a_vendors_name_has_no_price() -> None:
    for url in ("http://127.0.0.1:1/v1", "https://eu.api.openai.com/v1"):
        response, said = asked(replying(PLAIN), base_url=url)
        assert response.cost is None
        assert "rices" not in said, "nothing could be installed that would help"
    response, _ = asked(replying(PLAIN), base_url="https://api.openai.com/v1")
    assert response.cost == 0.006


def test_a_refusal_that_was_billed_at_no_known_price_is_not_told_as_free() -> None:
    blocked = {"index": 0, "message": {"role": "assistant"}, "finish_reason": "content_filter"}
    response, said = asked(replying(PLAIN, choice=blocked), "openai/of-nobody")
    assert isinstance(response.error, ContentFilterError)
    assert response.uncertain_attempts == 0  # the vendor has said what it billed
    assert response.cost is None
    assert "cost unknown" in said


def test_an_unknown_model_is_unknown_and_costs_nothing_but_a_word() -> None:
    response, said = asked(replying(PLAIN), "openai/of-nobody")
    assert response.cost is None
    assert "cost unknown." in said
    assert "pip" not in said


def test_a_price_that_changes_during_a_run_changes_in_it() -> None:
    """DeepSeek's nights are cheaper; a client that lives through the evening sees it."""
    clock = VirtualClock(epoch=TODAY)
    night = Endpoint(name="of-deepseek", wire="openai_chat", prices="deepseek")
    pricing = Pricing(Route(Model(id="of-deepseek/deepseek-chat"), night, ""), clock)
    reply = APIResponse[object](usage=Usage(1_000, 100))
    costs = set()
    for _ in range(24):
        costs.add(pricing.cost(reply, clock.now()))
        clock.advance(3600)
    assert len(costs) == 2
    assert None not in costs


WITHOUT: Final = """
import sys
sys.modules["genai_prices"] = sys.modules["bpe_openai"] = None
from tests.scenarios.test_prices import PLAIN, asked, replying
response, said = asked(replying(PLAIN))
print(response.cost, "|", said)
"""


def test_without_the_extra_the_cost_is_unknown_and_the_summary_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.stderr == ""
    cost, _, said = done.stdout.partition("|")
    assert cost == "None "
    assert "cost unknown. Prices are known after pip install 'headrace[prices]', or give" in said
