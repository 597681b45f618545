"""Where endpoints are: base URLs filled from the environment, and what is said when it lacks."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import ConfigError, Endpoint, LLMClient, Model, Price
from headrace.core.model import KeySource
from headrace.core.secret import Secret
from headrace.registry.address import check_url
from headrace.registry.resolve import Place, routes
from headrace.registry.table import Table

KEY: Final = Secret("sk-a")
PLACED: Final = Table(
    endpoints={
        "cloud": Endpoint(
            name="cloud",
            wire="gemini",
            base_url="https://{region}-api.test/v1/projects/{PROJECT}/places/{region}",
            regions=("here", "there"),
            auth="none",
        )
    }
)


def urls(name: str, table: Table = PLACED, **environment: str) -> list[str]:
    return [r.base_url for r in routes(Model(id=name), Place(), table, environment.get)]


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("", "http://127.0.0.1:11434/v1"),
        ("localhost", "http://localhost:11434/v1"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        (":8000", "http://127.0.0.1:8000/v1"),
        ("0.0.0.0", "http://127.0.0.1:11434/v1"),  # noqa: S104 - what servers are told, and so people write
        ("0.0.0.0:8000", "http://127.0.0.1:8000/v1"),
        ("http://0.0.0.0:8000/", "http://127.0.0.1:8000/v1"),
        ("https://ollama.com", "https://ollama.com/v1"),
        ("https://ollama.com/v1", "https://ollama.com/v1"),
        ("localhost/behind/proxy", "http://localhost:11434/behind/proxy/v1"),
        ("[::1]", "http://[::1]:11434/v1"),
        ("[::1]:8000", "http://[::1]:8000/v1"),
    ],
)
def test_a_host_may_lack_what_the_usual_one_has(host: str, url: str) -> None:
    assert urls("ollama/m", OLLAMA_HOST=host) == [url]


@pytest.mark.parametrize("host", ["gpu.test", "http://gpu.test:11434", "http://10.0.0.1:11434"])
def test_a_host_elsewhere_is_not_asked_in_the_clear(host: str) -> None:
    with pytest.raises(ConfigError, match=r"^OLLAMA_HOST: .*allow_http=True"):
        urls("ollama/m", OLLAMA_HOST=host)


@pytest.mark.parametrize(
    "resource",
    [
        "https://r.openai.azure.com",
        "https://r.openai.azure.com/",
        "https://r.openai.azure.com/openai/v1/",
        "r.openai.azure.com",
    ],
)
def test_azures_resource_is_read_as_people_write_it(resource: str) -> None:
    assert urls("azure/d", AZURE_OPENAI_ENDPOINT=resource) == [
        "https://r.openai.azure.com/openai/v1"
    ]


def test_azures_classic_form_has_the_deployment_and_the_version_in_its_url() -> None:
    environment = {
        "AZURE_OPENAI_ENDPOINT": "https://r.openai.azure.com",
        "OPENAI_API_VERSION": "2024-10-21",
    }
    [route] = routes(Model(id="azure-classic/my d"), Place(), Table(), environment.get)
    assert route.base_url == "https://r.openai.azure.com/openai/deployments/my%20d"
    assert route.query == "?api-version=2024-10-21"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "azure/d",
            "azure/d needs the environment variable AZURE_OPENAI_ENDPOINT; set it, or pass",
        ),
        ("azure-classic/d", "azure-classic/d needs the environment variable OPENAI_API_VERSION"),
        ("cloud/m", "cloud/m needs the environment variable PROJECT; set it, or pass base_url="),
    ],
)
def test_what_is_missing_is_said_before_the_run(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        urls(name)


@pytest.mark.parametrize("project", ["a/b", "a?b", "../x", "a b", "a@b", "{region}"])
def test_a_variable_within_a_url_is_a_name_and_nothing_more(project: str) -> None:
    with pytest.raises(ConfigError, match="PROJECT holds more than a name"):
        urls("cloud/m", PROJECT=project)


@given(st.text(), st.sampled_from(["OLLAMA_HOST", "AZURE_OPENAI_ENDPOINT", "PROJECT"]))
def test_whatever_a_variable_holds_it_is_a_safe_url_or_a_sentence(value: str, name: str) -> None:
    model = {"OLLAMA_HOST": "ollama/m", "AZURE_OPENAI_ENDPOINT": "azure/m"}.get(name, "cloud/m")
    try:
        for url in urls(model, PLACED, **{name: value}):
            assert check_url(url, allow_http=False) == url
            host = urlsplit(url).hostname or ""
            assert name != "PROJECT" or host.endswith("-api.test")
    except ConfigError as error:
        told = str(error)
    else:
        return
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize("base_url", ["https://[::1", "nonsense", "https://u:p@a.test", ""])
def test_a_bad_address_of_a_users_row_is_a_sentence(base_url: str) -> None:
    bad = Table(endpoints={"a": Endpoint(name="a", wire="openai_chat", base_url=base_url)})
    with pytest.raises(ConfigError, match=r"^a/m: base_url .*must"):
        urls("a/m", bad)
    place = Place(base_url="https://good.test/v1")
    assert routes(Model(id="a/m"), place, bad, lambda _: None)[0].base_url == place.base_url


def test_an_endpoint_has_regions_of_its_own_and_a_model_chooses() -> None:
    assert urls("cloud/m", PROJECT="p-1") == [
        "https://here-api.test/v1/projects/p-1/places/here",
        "https://there-api.test/v1/projects/p-1/places/there",
    ]
    chosen = Model(id="cloud/m", regions="there", price=Price(input=1, output=1))  # type: ignore[arg-type]  # one text alone, and whole dollars
    [route] = routes(chosen, Place(), PLACED, {"PROJECT": "p-1"}.get)
    assert (route.id, route.region) == ("cloud/m@there", "there")
    assert route.place == "https://{region}-api.test/v1/projects/p-1/places/{region}"


def test_a_row_of_a_user_is_looked_at_like_a_base_url() -> None:
    clear = Table(endpoints={"a": Endpoint(name="a", wire="openai_chat", base_url="http://a.test")})
    with pytest.raises(ConfigError, match=r"^a/m: .*allow_http=True"):
        urls("a/m", clear)


@pytest.mark.parametrize(
    ("name", "url", "bound", "names"),
    [
        ("azure/d", "https://r.openai.azure.com/openai/v1", "max_completion_tokens", {}),
        ("mistral/m", "https://api.eu.mistral.ai/v1", "max_tokens", {"seed": "random_seed"}),
        ("minimax/m", "https://api.minimaxi.com/v1", "max_completion_tokens", {}),
        ("minimax/m", "https://proxy.test/v1", "max_tokens", {}),
        ("mistral/m", "https://proxy.test/v1", "max_tokens", {"seed": "random_seed"}),
    ],
)
def test_a_vendor_speaks_alike_at_all_its_hosts(
    name: str, url: str, bound: str, names: dict[str, str]
) -> None:
    place = Place(base_url=url, api_keys=(KeySource(secret=KEY),))
    [route] = routes(Model(id=name), place, Table(), lambda _: None)
    assert (route.endpoint.max_tokens_field, route.endpoint.renames) == (bound, names)


def test_the_first_variable_that_is_set_holds_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigError, match="set the environment variable GOOGLE_API_KEY or GEMINI_API_KEY or pass"
    ):
        LLMClient("google/m")
    monkeypatch.setenv("GEMINI_API_KEY", "sk-gemini")
    monkeypatch.setenv("GOOGLE_API_KEY", "your-api-key")
    with pytest.raises(ConfigError, match="placeholder"):
        LLMClient("google/m")


@pytest.mark.parametrize(
    ("wrong", "right"), [("opnai", "openai"), ("OpenAI", "openai"), ("groc", "groq")]
)
def test_an_endpoint_that_is_misspelt(wrong: str, right: str) -> None:
    with pytest.raises(ConfigError, match=rf"'{wrong}/m' is not known; did you mean {right}\?"):
        LLMClient(f"{wrong}/m")


def test_a_model_that_an_endpoint_does_not_serve_is_said() -> None:
    with pytest.raises(ConfigError, match="there is no model 'local/nothing'; use local/smollm2"):
        LLMClient("local/nothing")
