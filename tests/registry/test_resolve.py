"""From what a caller writes to the route that leads there, or to one sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.adapters import keys
from headrace.core.errors import ConfigError
from headrace.core.model import KeySource, Model
from headrace.core.secret import Secret
from headrace.registry import endpoints
from headrace.registry.address import check_url
from headrace.registry.resolve import Place, model_row, route

HOME = Place()
KEY = Secret("sk-other")
GIVEN = KeySource(secret=KEY)


def test_every_known_endpoint_is_whole() -> None:
    rows = endpoints.known()
    assert {"openai", "anthropic", "local"} <= set(rows)
    for name, row in rows.items():
        assert row.name == name
        assert (row.auth == "none") is (not row.key_env)
        if row.base_url is not None and "{" not in row.base_url:
            assert check_url(row.base_url, allow_http=False) == row.base_url


@pytest.mark.parametrize(
    "name", ["openai/gpt-4.1-mini", "openai/meta-llama/Llama-3:free", "openai/a?b#c", "openai/é"]
)
def test_a_model_is_endpoint_and_name_and_the_name_is_the_vendors_business(name: str) -> None:
    row = model_row(name)
    assert row == Model(id=name) == model_row(Model(id=name))
    assert route(row, HOME).base_url == "https://api.openai.com/v1"
    assert route(row, HOME).key == KeySource(env=("OPENAI_API_KEY",))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "gpt-4",
        "/gpt-4",
        "openai/",
        "/",
        " openai/m",
        "openai/m ",
        "openai/m\n",
        "openai/\x1b[31m",
        "openai/a\0b",
        "openai/\ud800",
        "a?b",
        "a#b",
        "a:b",
        "x" * 10_000,
        "\U0001f680",
    ],
)
def test_what_is_no_model_is_refused_with_the_form_that_is_expected(name: str) -> None:
    with pytest.raises(ConfigError, match='must have the form "endpoint/model"') as caught:
        model_row(name)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("spec", [None, 5, b"openai/m", ["openai/m"], {"id": "openai/m"}])
def test_what_is_no_name_is_refused(spec: object) -> None:
    with pytest.raises(ConfigError, match=r'"endpoint/model" or a Model, not \w+$'):
        model_row(spec)


@pytest.mark.parametrize("name", ["../x", "azur/gpt", "OpenAI/gpt", "http://a.test/v1"])
def test_an_unknown_endpoint_is_answered_with_the_known_ones(name: str) -> None:
    with pytest.raises(
        ConfigError, match=r"is not known.*use .*base_url= \(there are anthropic, azure, "
    ):
        route(model_row(name), HOME)


GOOD = {
    "https://host/v1": "https://host/v1",
    "https://host/v1/": "https://host/v1",
    "https://host//": "https://host",
    "https://host": "https://host",
    "https://host:8443/deep/path/v1": "https://host:8443/deep/path/v1",
    "https://10.0.0.1/v1": "https://10.0.0.1/v1",
    "https://[2001:db8::1]:8080/v1": "https://[2001:db8::1]:8080/v1",
    "https://xn--bcher-kva.example/v1": "https://xn--bcher-kva.example/v1",
    "HTTPS://host/v1": "HTTPS://host/v1",
    "http://localhost:8080/v1": "http://localhost:8080/v1",
    "http://LOCALHOST/v1": "http://LOCALHOST/v1",
    "http://127.0.0.1:8080/v1": "http://127.0.0.1:8080/v1",
    "http://127.8.9.1/v1": "http://127.8.9.1/v1",
    "http://[::1]:8080/v1": "http://[::1]:8080/v1",
}


@pytest.mark.parametrize("url", GOOD)
def test_a_base_url_is_kept_without_its_last_slash(url: str) -> None:
    assert check_url(url, allow_http=False) == GOOD[url]
    assert check_url(url, allow_http=True) == GOOD[url]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "host/v1",
        "//host/v1",
        "https://",
        "https:///v1",
        "https:host",
        "https://:8080/v1",
        "https://host:port/v1",
        "https://host:99999/v1",
        "https://[::1/v1",
        "https://two..dots/v1",
        f"https://{'x' * 64}.test/v1",
        "https://[nonsense]/v1",
        "file:///etc/passwd",
        "ftp://host/v1",
        "javascript:alert(1)",
        "https://bücher.example/v1",
        "https://host/é",
        "https://ho st/v1",
        "https://host/v1\n",
        "https://ho\tst/v1",
        "https://host/\0",
        "https://host\\v1",
        " https://host/v1",
    ],
)
def test_a_base_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="must look like https://host/v1") as caught:
        check_url(url, allow_http=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@host/v1",
        "https://hunter2@host/v1",
        "https://@host/v1",
        "ftp://user:hunter2@host/v1",
        "https://host/v1?key=hunter2",
        "https://host/v1?",
        "https://host/v1#hunter2",
        "https://host/v1#",
        b"https://host/v1",
        5,
    ],
)
def test_a_base_url_holds_no_secrets_and_no_error_shows_them(url: object) -> None:
    with pytest.raises(ConfigError, match="pass the key as api_key=") as caught:
        check_url(url, allow_http=True)  # type: ignore[arg-type]  # two are no text
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://host/v1",
        "http://10.0.0.1/v1",
        "http://0.0.0.0:8080/v1",
        "http://169.254.169.254/",
        "http://localhost.evil.example/v1",
        "http://127.0.0.1.evil.example/v1",
        "http://127.1/v1",
        "http://[2001:db8::1]/v1",
    ],
)
def test_plain_http_goes_to_this_machine_alone_unless_allowed(url: str) -> None:
    with pytest.raises(ConfigError, match="allow_http=True"):
        check_url(url, allow_http=False)
    assert check_url(url, allow_http=True) == url.rstrip("/")


@given(st.text())
def test_any_text_is_a_url_or_a_sentence(url: str) -> None:
    try:
        assert check_url(url, allow_http=False).lower().startswith(("https://", "http://"))
    except ConfigError as error:
        told = str(error)
    else:
        return
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize("vendor", ["openai", "anthropic", "local"])
def test_a_vendors_own_key_never_goes_to_another_address(
    vendor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-anthropic")
    there = route(Model(id=f"{vendor}/m"), Place(base_url="https://other.test/v1"))
    assert there.key == KeySource()
    assert keys.reveal(there.key) is None
    assert (there.endpoint.auth, there.endpoint.max_tokens_field) == ("none", "max_tokens")
    keys.check(there)


@pytest.mark.parametrize(
    ("vendor", "auth"), [("openai", "bearer"), ("anthropic", "x-api-key"), ("local", "bearer")]
)
def test_a_key_for_another_address_is_sent_as_its_dialect_does(vendor: str, auth: str) -> None:
    there = route(
        Model(id=f"{vendor}/m"),
        Place(base_url="https://other.test/v1", api_keys=(GIVEN,)),
    )
    assert there.key == GIVEN
    assert there.endpoint.auth == auth


def test_a_key_in_code_goes_to_the_vendor_itself() -> None:
    there = route(Model(id="openai/m"), Place(api_keys=(GIVEN,)))
    assert keys.reveal(there.key) == "sk-other"
    assert there.base_url == "https://api.openai.com/v1"
    assert there.endpoint.max_tokens_field == "max_completion_tokens"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://eu.api.openai.com/v1", "max_completion_tokens"),
        ("https://API.openai.com:443/v1/", "max_completion_tokens"),
        ("https://evil-api.openai.com/v1", "max_tokens"),
        ("https://api.openai.com.evil.test/v1", "max_tokens"),
    ],
)
def test_the_bound_on_output_is_named_as_the_vendor_does_at_all_its_hosts(
    url: str, name: str
) -> None:
    there = route(Model(id="openai/m"), Place(base_url=url))
    assert there.endpoint.max_tokens_field == name
    assert there.key == KeySource()


@pytest.mark.parametrize("url", ["https://other.test", "https://other.test/v1/"])
def test_anthropics_version_is_part_of_its_paths(url: str) -> None:
    there = route(Model(id="anthropic/m"), Place(base_url=url))
    assert there.base_url == there.endpoint.base_url == "https://other.test"


@pytest.mark.parametrize(
    ("model", "url"),
    [
        ("cohere/m", "https://other.test/v2"),
        ("ollama-native/m", "https://other.test/api"),
        ("ollama-native/m", "https://other.test/v1/"),
    ],
)
def test_what_the_paths_begin_with_may_stand_in_a_base_url(model: str, url: str) -> None:
    assert route(Model(id=model), Place(base_url=url)).base_url == "https://other.test"


@pytest.mark.parametrize(
    ("model", "url"),
    [
        ("bedrock/m", "https://vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com"),
        ("bedrock-mantle/m", "https://bedrock-mantle.us-east-1.api.aws/v1"),
        ("vertex/m", "https://eu-aiplatform.googleapis.com/v1/projects/p"),
    ],
)
def test_a_clouds_own_host_would_refuse_what_bears_no_credentials(model: str, url: str) -> None:
    with pytest.raises(ConfigError, match=r"gets no credentials but.*register an endpoint with"):
        route(Model(id=model), Place(base_url=url))
    assert route(Model(id=model), Place(base_url=url, api_keys=(GIVEN,))).base_url == url
    assert route(Model(id=model), Place(base_url="https://gateway.test")).endpoint.auth == "none"


def test_another_endpoint_gets_neither_the_address_nor_the_key_of_this_one() -> None:
    here = Place(base_url="https://a.test/v1", api_keys=(GIVEN,), allow_http=True)
    assert here.elsewhere() == Place(allow_http=True)
    specials = (
        here,
        Place(api_keys=(GIVEN,)),
        Place(base_url="https://a.test"),
        here.elsewhere(),
    )
    assert [place.is_special for place in specials] == [True, True, True, False]


def test_an_empty_base_url_is_no_base_url() -> None:
    with pytest.raises(ConfigError, match="must look like"):
        route(Model(id="openai/m"), Place(base_url=""))


def test_what_starts_on_demand_has_no_address_yet() -> None:
    assert route(Model(id="local/smollm2"), HOME).base_url == ""
