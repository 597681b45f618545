"""Where on Vertex a request goes, and what is told before the first one."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from headrace.adapters import google_auth, keys
from headrace.core.errors import ConfigError, GoneError
from headrace.core.model import Route
from headrace.core.secret import Masked
from headrace.registry import resolve
from tests.adapters.google.server import VARIABLE

LOCATED: Final = resolve.route(resolve.model_row("vertex/m"), resolve.Place())


def placed(route: Route = LOCATED) -> str:
    return asyncio.run(google_auth.admitted(route, Masked("ya29.token-0000")))[0].base_url


@pytest.mark.parametrize(
    ("location", "host"),
    [
        (None, "aiplatform.googleapis.com"),
        ("global", "aiplatform.googleapis.com"),
        ("us", "aiplatform.us.rep.googleapis.com"),
        ("eu", "aiplatform.eu.rep.googleapis.com"),
        ("europe-west4", "europe-west4-aiplatform.googleapis.com"),
    ],
)
def test_each_location_has_its_host(
    monkeypatch: pytest.MonkeyPatch, location: str | None, host: str
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")
    if location is not None:
        monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", location)
    there = f"projects/mine/locations/{location or 'global'}/publishers/google"
    assert placed() == f"https://{host}/v1beta1/{there}"


def test_a_route_may_have_a_region_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "eu")
    route = Route(LOCATED.model, LOCATED.endpoint, LOCATED.base_url, region="us-east5")
    assert placed(route).startswith("https://us-east5-aiplatform.googleapis.com/")


@pytest.mark.parametrize("name", ["GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION"])
@pytest.mark.parametrize("value", ["evil.example/x", "a b", "a@b", "{host}", "-a"])
def test_what_would_lead_elsewhere_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")
    monkeypatch.setenv(name, value)
    monkeypatch.setenv(VARIABLE, "ya29.token-0000")
    with pytest.raises(GoneError, match=f"{name} is .*; set it anew"):
        placed()
    with pytest.raises(ConfigError, match=name):
        keys.check(LOCATED)


def test_what_is_missing_is_told_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    keys.check(LOCATED)  # the credentials are asked for later
    monkeypatch.setenv(VARIABLE, "ya29.token-0000")
    with pytest.raises(ConfigError, match="needs the id of a Google Cloud project; set GOOGLE"):
        keys.check(LOCATED)
    monkeypatch.setenv(VARIABLE, " ya29 ")
    with pytest.raises(ConfigError):
        keys.check(LOCATED)
