"""Keys of AWS given in code, one or several, as its own clients take them."""

from __future__ import annotations

import pickle
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING, Any, Final

import pytest

from headrace import LLMClient
from headrace.adapters.aws import credentials
from headrace.core.errors import ConfigError
from headrace.core.given import sources
from headrace.core.model import AwsKeys, Model
from headrace.registry import resolve

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once
CANARY: Final = "wJalrXUtnFEMI/CANARY+KEY"
KEYS: Final = {"aws_access_key_id": "AKIDGIVEN", "aws_secret_access_key": CANARY}
TOKEN: Final = {"aws_session_token": "CANARY/of+a+session"}


def key_ids(given: object) -> list[str]:
    place = resolve.Place(api_keys=sources(given))
    made = resolve.routes(Model(id="bedrock/m"), place, resolve.OWN, lambda _: None)
    found = [credentials.standing(route).credentials for route in made]
    return [f"{f.access_key_id} {f.session_token is not None}" for f in found if type(f) is AwsKeys]


def test_keys_and_profiles_are_routes(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)
    held = f"[a]\naws_access_key_id = AKIDFILE\naws_secret_access_key = {CANARY}\n"
    (home / "credentials").write_text(held)
    assert key_ids(KEYS) == ["AKIDGIVEN False"]
    assert key_ids([KEYS | TOKEN, {"aws_profile": "a"}]) == ["AKIDGIVEN True", "AKIDFILE False"]
    client = LLMClient("bedrock/m", api_key=[KEYS | TOKEN, {"aws_profile": "a"}])
    assert "bedrock/m#2" in repr(client)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(client)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"aws_access_key_id": CANARY}, "holds aws_access_key_id and aws_secret_access_key"),
        (KEYS | {"aws_profile": CANARY}, "aws_profile alone"),
        (KEYS | {"aws_secret_access_key": 5}, "each a text"),
        (KEYS | {"aws_secret_access_key": f"{CANARY}\n"}, "no header may carry"),
        (KEYS | {"aws_access_key_id": CANARY}, "not made of 1 to 128 letters"),
        ([KEYS, KEYS], "a key twice"),
        ([KEYS, f"{CANARY}\n"], "no header may carry"),
        ([None], "not text"),
        ({}, "holds aws_access_key_id"),
    ],
)
def test_what_is_none_is_told_without_it(given: Any, said: str) -> None:  # noqa: ANN401 - wrong types too
    with pytest.raises(ConfigError, match=said) as caught:
        LLMClient("bedrock/m", api_key=given)
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    frames = [frame for frame in told.stack if frame.filename != __file__]
    assert frames
    assert not [frame for frame in frames if "CANARY" in str(frame.locals)]
    assert "CANARY" not in str(caught.value)


def test_another_endpoint_takes_none_of_them() -> None:
    with pytest.raises(ConfigError, match="openai/m takes no credentials of AWS"):
        LLMClient("openai/m", api_key=KEYS)


def test_what_signs_is_loaded_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes longer than a turn of an event loop may."""
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    code = (
        "import sys; from headrace import LLMClient;"
        f"LLMClient('bedrock/m', api_key={KEYS!r}); print('requests_aws4auth' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout == "True\n"
