"""What is signed: the same as AWS's own client signs, whatever the model is called."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.adapters.aws.signing import sign
from headrace.core.errors import RejectedError
from headrace.core.model import AwsKeys
from headrace.core.secret import Secret
from headrace.wire.segment import segment
from tests.adapters.aws.reference import signature

if TYPE_CHECKING:
    from collections.abc import Mapping

PLAIN: Final = AwsKeys("AKIDEXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"))
SESSION: Final = AwsKeys("ASIAEXAMPLE", Secret("a+b/c=="), Secret("IQoJb3JpZ2luX2VjE//+=="))
HOST: Final = "https://bedrock-runtime.eu-central-1.amazonaws.com"
JSON: Final = {"Content-Type": "application/json", "User-Agent": "headrace"}
AT: Final = datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC).timestamp()
AWKWARD: Final = {
    "anthropic.claude-3-5-sonnet-20241022-v2:0": "anthropic.claude-3-5-sonnet-20241022-v2%3A0",
    "us.anthropic.claude-opus-4-20250514-v1:0": "us.anthropic.claude-opus-4-20250514-v1%3A0",
    "global.amazon.nova-2-lite-v1:0:256k": "global.amazon.nova-2-lite-v1%3A0%3A256k",
    "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.meta.llama3-1-8b-instruct-v1:0": (
        "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile"
        "%2Fus.meta.llama3-1-8b-instruct-v1%3A0"
    ),
    "arn:aws-us-gov:bedrock:us-gov-west-1:1:provisioned-model/ab/cd": (
        "arn%3Aaws-us-gov%3Abedrock%3Aus-gov-west-1%3A1%3Aprovisioned-model%2Fab%2Fcd"
    ),
    "a model with  spaces ": "a%20model%20with%20%20spaces%20",
    "modèle-文-\U0001d11e": "mod%C3%A8le-%E6%96%87-%F0%9D%84%9E",
    "100%3A+?#&=;@!$'()*,[]~": ("100%253A%2B%3F%23%26%3D%3B%40%21%24%27%28%29%2A%2C%5B%5D~"),
    "/../a//b/./": "%2F..%2Fa%2F%2Fb%2F.%2F",
    "...": "...",
}


def ours(
    url: str,
    credentials: AwsKeys,
    body: bytes = b"{}",
    *,
    headers: Mapping[str, str] = JSON,
    region: str = "eu-central-1",
    service: str = "bedrock",
    now: float = AT,
    method: str = "POST",
) -> dict[str, str]:
    made = sign(
        method,
        url,
        headers,
        body,
        credentials=credentials,
        region=region,
        service=service,
        now=now,
    )
    place = {"region": region, "service": service}
    theirs = signature(method, url, made, body, keys=credentials, now=now, **place)
    assert made["Authorization"] == theirs
    return made


@pytest.mark.parametrize("credentials", [PLAIN, SESSION], ids=["keys", "session"])
@pytest.mark.parametrize(("name", "written"), AWKWARD.items())
def test_awkward_names_are_signed_as_botocore_signs_them(
    name: str, written: str, credentials: AwsKeys
) -> None:
    assert segment(name) == written
    for ending in ("converse", "invoke-with-response-stream"):
        made = ours(f"{HOST}/model/{written}/{ending}", credentials)
        assert ("x-amz-security-token" in made) is (credentials is SESSION)
        assert made["x-amz-date"] == "20260228T235959Z"
        assert len(made["x-amz-content-sha256"]) == 64
        assert made["User-Agent"] == "headrace"


@given(
    name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
        lambda name: name not in {".", ".."}
    ),
    body=st.binary(),
    credentials=st.sampled_from([PLAIN, SESSION]),
    service=st.sampled_from(["bedrock", "bedrock-mantle"]),
    now=st.integers(0, 4_102_444_800) | st.floats(0, 4_102_444_800),
)
@example(name=";a=b?c#d", body=b"", credentials=SESSION, service="bedrock", now=0)
def test_every_name_every_body_and_every_time(
    name: str, body: bytes, credentials: AwsKeys, service: str, now: float
) -> None:
    written = segment(name)
    assert "/" not in written
    ours(f"{HOST}/model/{written}/converse", credentials, body, service=service, now=now)


@given(st.dictionaries(st.sampled_from("ab-"), st.text("a \"'\\=%é{}", max_size=8)))
def test_headers_of_amazon_are_signed_whatever_they_hold(more: dict[str, str]) -> None:
    named = {f"X-Amz-{name}": quote(value, safe=" \"'\\=%{}") for name, value in more.items()}
    made = ours(f"{HOST}/model/m/converse", SESSION, headers={**JSON, **named})
    assert made.keys() >= {*JSON, *named}


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://h.test/model/m/converse", "h.test"),
        ("https://h.test:443/model/m/converse", "h.test"),
        ("https://h.test:8443/model/m/converse", "h.test:8443"),
        ("http://127.0.0.1:80/model/m/converse", "127.0.0.1"),
        ("http://[::1]:8080/model/m/converse", "[::1]:8080"),
        ("https://h.test/foundation-models?byProvider=anthropic&a=%2F", "h.test"),
        ("https://h.test/", "h.test"),
    ],
)
def test_hosts_ports_and_queries(url: str, host: str) -> None:
    for method, body in (("POST", b"{}"), ("GET", b"")):
        assert ours(url, SESSION, body, method=method)["Host"] == host


def test_what_looks_like_a_signature_already_is_replaced() -> None:
    stale = {"authorization": "Bearer x", "X-Amz-Date": "19700101T000000Z", "host": "elsewhere"}
    made = ours(f"{HOST}/model/m/converse", PLAIN, headers={**JSON, **stale})
    assert {name.lower() for name in made} >= {"authorization", "x-amz-date", "host"}
    assert len({name.lower() for name in made}) == len(made)
    assert "elsewhere" not in made.values()


@pytest.mark.parametrize("name", ["", ".", "..", "lone \ud800 surrogate"])
def test_what_no_path_can_hold_is_that_requests_error(name: str) -> None:
    with pytest.raises(RejectedError, match="give its id or its ARN"):
        segment(name)


def test_nothing_secret_is_shown_by_the_signed_headers() -> None:
    made = ours(f"{HOST}/model/m/converse", SESSION)
    assert "IQoJb3JpZ2" not in repr(made)
    assert made["x-amz-security-token"] == "IQoJb3JpZ2luX2VjE//+=="
    assert "Signature" not in repr(made)
