"""A token shows up in no repr and no traceback, and a malformed one is told with its variable."""

from __future__ import annotations

import asyncio
import traceback
from typing import Final

import pytest

from headrace import LLMClient
from headrace.adapters import google_auth, keys
from headrace.core.errors import ConfigError, GoneError
from headrace.core.model import KeySource, Model
from headrace.core.secret import Secret
from headrace.registry import resolve
from tests.adapters.google.server import VARIABLE

LOCATED: Final = resolve.route(resolve.model_row("vertex/m"), resolve.Place())
CANARY: Final = "ya29.CANARY-0123456789"


def shown(error: BaseException) -> str:
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    ours = [frame for frame in told.stack if "/headrace/" in frame.filename]
    assert ours
    return "".join(map(str, (frame.locals for frame in ours))) + str(error)


def test_no_traceback_shows_a_token_that_has_nowhere_to_go() -> None:
    key = keys.reveal(KeySource(secret=Secret(CANARY)))
    given = google_auth.admitted(LOCATED, key)
    with pytest.raises(GoneError, match="set GOOGLE_CLOUD_PROJECT") as caught:
        asyncio.run(given)
    assert "CANARY" not in shown(caught.value)
    assert key == CANARY
    assert "CANARY" not in repr(google_auth.Token(key, 0.0, 0.0))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (f"{CANARY}\n", "spaces around it"),
        (f'"{CANARY}"', "quotation marks around it"),
        ("your-token-here", "a placeholder"),
    ],
)
def test_a_malformed_token_is_told_before_the_run(
    monkeypatch: pytest.MonkeyPatch, value: str, said: str
) -> None:
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(ConfigError, match=f"^vertex/m: .*{said}.*set .* {VARIABLE}") as caught:
        LLMClient("vertex/m")
    assert "CANARY" not in shown(caught.value)
    with pytest.raises(GoneError, match=VARIABLE) as gone:
        keys.require(LOCATED)
    assert "CANARY" not in shown(gone.value)


@pytest.mark.parametrize("endpoint", ["vertex", "bedrock"])
def test_no_other_credentials_stand_in_for_a_key_that_a_row_names(
    monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    """It would be another account that pays, or another server that gets them."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "AKIDENV")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "mine")
    row = Model(id=f"{endpoint}/m", key_env=("OF_TEAM_A", "OF_TEAM_B"))
    monkeypatch.setenv("OF_TEAM_A", "team-a-0123456789")
    with pytest.raises(ConfigError, match=rf"^{endpoint}/m#2.*OF_TEAM_B"):
        LLMClient(row)
    with pytest.raises(ConfigError, match=rf"^{endpoint}/m#2.*OF_TEAM_B"):
        LLMClient(row, base_url="https://elsewhere.test")
    monkeypatch.setenv("OF_TEAM_B", "team-b-0123456789")
    LLMClient(row)
