"""What users register: endpoints, models, aliases, request classes; what packages offer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pytest

import headrace
from headrace import (
    APIResponse,
    ConfigError,
    Endpoint,
    LLMClient,
    Model,
    Price,
    ProviderRequest,
    RequestContext,
    SamplingParams,
)
from headrace.testing import FakeServer, Script, scripted

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once
DEAR: Final = Price(input=Decimal(1_000_000), output=Decimal(0))


class Shouting(ProviderRequest):
    """A dialect of one's own, which needs no server."""

    __slots__ = ()

    async def execute_once(self) -> APIResponse[object]:
        """Make one exchange; see ``ProviderRequest``."""
        said = self.context.conversation.messages[-1].content
        return APIResponse(completion=str(said).upper())


def asked(client: LLMClient, *prompts: Any, **options: Any) -> list[APIResponse[Any]]:
    with client:
        return list(client.process_prompts_sync(prompts, show_progress=False, **options))


def test_a_new_vendor_is_one_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_API_KEY", "sk-acme-0123456789")
    with FakeServer.in_thread() as server:
        headrace.register_endpoint(
            Endpoint(
                name="acme",
                wire="openai_chat",
                base_url=server.base_url,
                key_env=("ACME_API_KEY",),
                auth="x-acme-key",
                renames={"seed": "random_seed"},
            )
        )
        client = LLMClient("acme/some/model", sampling_params=SamplingParams(seed=3))
        [row] = asked(client, "hi")
    [seen] = server.received
    assert (row.completion, row.provider, row.route) == ("echo: hi", "acme", "acme/some/model")
    assert seen.headers["x-acme-key"] == "sk-acme-0123456789"
    assert (seen.model, seen.json["random_seed"]) == ("some/model", 3)
    assert "authorization" not in seen.headers
    assert [e.name for e in headrace.list_endpoints() if e.name == "acme"] == ["acme"]
    headrace.unregister_endpoint("acme")
    with pytest.raises(ConfigError, match="the endpoint 'acme' of 'acme/m' is not known"):
        LLMClient("acme/m")


def test_an_alias_that_leads_nowhere_is_named() -> None:
    headrace.register_alias("fast", "nix/m")
    with pytest.raises(ConfigError, match=r"'nix' of 'nix/m' \(the alias 'fast'\) is not known"):
        LLMClient("fast")


def test_a_row_without_an_address_asks_nobody() -> None:
    headrace.register_endpoint(Endpoint(name="acme", wire="openai_chat", auth="none"))
    with pytest.raises(ConfigError, match="'acme' has no address; give its row a base_url"):
        LLMClient("acme/m")
    with FakeServer.in_thread() as server:
        [row] = asked(LLMClient("acme/m", base_url=server.base_url), "hi")
    assert row.completion == "echo: hi"


def test_our_own_rows_name_nothing_that_is_not() -> None:
    for row in headrace.list_endpoints():
        headrace.register_endpoint(row)
        headrace.unregister_endpoint(row.name)


def test_a_row_of_ours_is_replaced_and_comes_back() -> None:
    headrace.register_endpoint(Endpoint(name="groq", wire="openai_chat", auth="none"))
    assert {e.name: e.auth for e in headrace.list_endpoints()}["groq"] == "none"
    headrace.unregister_endpoint("groq")
    assert {e.name: e.auth for e in headrace.list_endpoints()}["groq"] == "bearer"
    with pytest.raises(ConfigError, match=r"no endpoint 'groq' is registered"):
        headrace.unregister_endpoint("groq")


def test_a_registered_model_is_meant_by_its_name_in_clients_made_afterwards() -> None:
    with FakeServer.in_thread() as server:
        before = LLMClient("openai/fake", base_url=server.base_url)
        headrace.register_model(Model(id="openai/fake", price=DEAR))
        after = LLMClient("openai/fake", base_url=server.base_url)
        own = LLMClient(Model(id="openai/fake"), base_url=server.base_url)
        assert [asked(client, "hi")[0].cost for client in (before, own)] == [None, None]
        [row] = asked(after, RequestContext(prompt="hi", model="openai/fake"))
    assert row.cost == row.usage.input_tokens if row.usage else None
    assert [model.id for model in headrace.list_models()] == ["openai/fake"]
    headrace.unregister_model("openai/fake")
    assert headrace.list_models() == []


def test_an_alias_is_another_word_for_its_model(tmp_path: Path) -> None:
    journal = tmp_path / "run.journal"
    headrace.register_alias("fast", "openai/fake")
    assert headrace.list_aliases() == {"fast": "openai/fake"}
    with FakeServer.in_thread() as server:
        client = LLMClient("fast", base_url=server.base_url)
        rows = (RequestContext(prompt="hi", model="fast"), "hi")
        assert {row.model for row in asked(client, *rows, journal=journal)} == {"fake"}
        # The journal knows the model, and not what it was called that day.
        headrace.register_alias("fast", "openai/other")
        client = LLMClient("openai/fake", base_url=server.base_url)
        both = [RequestContext(prompt="hi", model=name) for name in ("openai/fake", "fast")]
        again = asked(client, *both, journal=journal)
    assert [(row.source, row.model) for row in again] == [
        ("journal", "fake"),
        ("provider", "other"),
    ]


@pytest.mark.parametrize(
    ("alias", "model", "said"),
    [
        ("a/b", "openai/m", "without a slash"),
        ("", "openai/m", "without a slash"),
        ("fast", "fast", 'must have the form "endpoint/model"'),
        ("fast", 5, "not int"),
    ],
)
def test_an_alias_that_cannot_work(alias: str, model: object, said: str) -> None:
    wrong: Any = model
    with pytest.raises(ConfigError, match=said):
        headrace.register_alias(alias, wrong)


def test_what_is_no_row_is_not_registered() -> None:
    wrong: Any = {"id": "openai/m"}
    with pytest.raises(ConfigError, match="must be of type Model, not dict"):
        headrace.register_model(wrong)
    with pytest.raises(ConfigError, match="one word without a slash"):
        headrace.register_endpoint(Endpoint(name="a/b", wire="openai_chat"))
    with pytest.raises(ConfigError, match="Endpoint: auth: "):
        Endpoint(name="a", wire="openai_chat", auth="bearrer")
    with pytest.raises(ConfigError, match='must have the form "endpoint/model"'):
        headrace.register_model(Model(id="nonsense"))


def test_a_request_class_of_ones_own_answers_where_a_row_names_it() -> None:
    headrace.register_provider("shouting", Shouting)
    headrace.register_endpoint(
        Endpoint(name="loud", wire="shouting", base_url="https://loud.test", auth="none")
    )
    [row] = asked(LLMClient("loud/m"), "hi")
    assert (row.completion, row.route, row.model) == ("HI", "loud/m", "m")
    assert "shouting" in headrace.list_providers()
    headrace.unregister_provider("shouting")
    with pytest.raises(
        ConfigError, match=r"'loud' writes 'shouting', which no provider does.*register_provider"
    ):
        LLMClient("loud/m")
    with pytest.raises(ConfigError, match="no provider 'shouting' is registered"):
        headrace.unregister_provider("shouting")


def test_what_is_no_request_class_is_not_registered() -> None:
    wrong: Any = str
    with pytest.raises(ConfigError, match="must be a subclass of ProviderRequest"):
        headrace.register_provider("strange", wrong)
    with pytest.raises(ConfigError, match="none of openai_chat"):
        headrace.register_provider("openai_chat", scripted(Script()))


def test_threads_may_register_at_once() -> None:
    with ThreadPoolExecutor(8) as pool:
        for n in range(200):
            pool.submit(headrace.register_alias, f"a{n}", "openai/m")
            pool.submit(headrace.register_model, Model(id=f"openai/m{n}"))
    assert len(headrace.list_aliases()) == len(headrace.list_models()) == 200


def installed(folder: Path, offers: str, module: str) -> None:
    """A package as pip leaves it: its metadata, and a module beside it."""
    metadata = folder / "plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[headrace.providers]\n{offers}\n")
    (folder / "headrace_plugin_of_tests.py").write_text(module)


CLASS: Final = """
from headrace import APIResponse, ProviderRequest

class Quiet(ProviderRequest):
    async def execute_once(self):
        return APIResponse(completion="hush")
"""
FUNCTION: Final = """
import headrace
from tests.registry.test_registered import Shouting

def register():
    headrace.register_provider("shouting", Shouting)
    headrace.register_endpoint(
        headrace.Endpoint(name="offered", wire="shouting", base_url="https://a.test", auth="none")
    )
"""


def test_a_package_offers_a_class_that_is_loaded_when_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, "quiet = headrace_plugin_of_tests:Quiet", CLASS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "headrace_plugin_of_tests", raising=False)
    assert "quiet" not in headrace.list_providers()
    headrace.register_endpoint(
        Endpoint(name="still", wire="quiet", base_url="https://a.test", auth="none")
    )
    [row] = asked(LLMClient("still/m"), "hi")
    assert row.completion == "hush"
    assert "quiet" in headrace.list_providers()


def test_a_package_offers_an_endpoint_by_a_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, "offered = headrace_plugin_of_tests:register", FUNCTION)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "headrace_plugin_of_tests", raising=False)
    [row] = asked(LLMClient("offered/m"), "hi")
    assert row.completion == "HI"


def test_a_package_that_cannot_be_loaded_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path, "broken = headrace_plugin_of_tests:Nothing", "")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match=r"'broken' \(headrace_plugin_of_tests:Nothing\) cannot"):
        LLMClient("broken/m")
