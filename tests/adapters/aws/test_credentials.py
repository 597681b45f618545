"""Where credentials and region come from, and what is said where they are not to be found."""

from __future__ import annotations

import asyncio
import copy
import pickle
import traceback
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Final

import orjson
import pytest

from headrace.adapters import keys
from headrace.adapters.aws import credentials, profiles
from headrace.adapters.http import Transport
from headrace.core.errors import ConfigError, GoneError, HeadraceError
from headrace.core.model import AwsKeys, Endpoint, KeySource, Model, Route
from headrace.core.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CANARY: Final = "wJalrXUtnFEMI/CANARY+KEY"
BEARER: Final = "AWS_BEARER_TOKEN_BEDROCK"
ROW: Final = Endpoint(
    name="bedrock",
    wire="anthropic",
    auth="aws",
    base_url="https://bedrock-runtime.{region}.amazonaws.com",
    key_env=(BEARER,),
)
ROUTE: Final = Route(Model(id="bedrock/m"), ROW, ROW.base_url or "", KeySource(env=(BEARER,)))
GIVEN: Final = AwsKeys("AKIDGIVEN", Secret(CANARY))
KEYS: Final = f"aws_access_key_id = AKIDFILE\naws_secret_access_key = {CANARY}\n"


def with_key(
    env: tuple[str, ...] = (BEARER,),
    secret: Secret | None = None,
    aws: AwsKeys | None = None,
    profile: str | None = None,
) -> Route:
    return replace(ROUTE, key=KeySource(env, secret, aws, profile))


def set_keys(monkeypatch: pytest.MonkeyPatch, key_id: str = "AKIDENV") -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key_id)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", CANARY)


def key_id(route: Route = ROUTE) -> str:
    found = credentials.standing(route).credentials
    return found.access_key_id if isinstance(found, AwsKeys) else f"bearer {found.reveal()}"


# Which win.


def test_code_wins_then_a_bearer_key_then_keys_then_the_profile(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    (home / "credentials").write_text(f"[default]\n{KEYS}[other]\n{KEYS.replace('FILE', 'OTHER')}")
    assert key_id() == "AKIDFILE"
    monkeypatch.setenv("AWS_PROFILE", "other")
    assert key_id() == "AKIDOTHER"
    set_keys(monkeypatch)
    assert key_id() == "AKIDENV"
    assert key_id(with_key(env=())) == "AKIDENV"
    monkeypatch.setenv(BEARER, "bedrock-key")
    assert key_id() == "bearer bedrock-key"
    assert key_id(with_key(profile="default")) == "AKIDFILE"
    assert key_id(with_key(aws=GIVEN)) == "AKIDGIVEN"
    assert key_id(with_key(aws=GIVEN, secret=Secret("in-code"))) == "bearer in-code"


def test_the_region_of_the_route_wins_then_the_environments_then_the_profiles(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def region(route: Route = ROUTE) -> str:
        found = credentials.standing(route)
        assert found.base_url == f"https://bedrock-runtime.{found.region}.amazonaws.com"
        return found.region

    set_keys(monkeypatch)
    (home / "config").write_text("[default]\nregion = eu-west-1\n[profile p]\nregion=eu-west-2")
    assert region() == "eu-west-1"
    assert region(with_key(profile="p", aws=GIVEN)) == "eu-west-2"
    monkeypatch.setenv("AWS_PROFILE", "p")
    assert region() == "eu-west-2"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-west-1")
    assert region() == "us-west-1"
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    assert region() == "us-west-2"
    assert region(replace(ROUTE, region="us-gov-east-1")) == "us-gov-east-1"


def test_a_session_token_belongs_to_its_keys(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    (home / "credentials").write_text(f"[default]\n{KEYS}aws_session_token = of-the-file\n")
    assert credentials.standing(ROUTE).sent == "of-the-file"
    set_keys(monkeypatch)
    assert credentials.standing(ROUTE).sent is None
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-the-environment")
    assert credentials.standing(ROUTE).sent == "of-the-environment"


def test_a_bearer_key_at_a_fixed_address_needs_neither_region_nor_files(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "config").write_text("broken")
    monkeypatch.setenv(BEARER, "bedrock-key")
    keys.check(replace(ROUTE, base_url="https://bedrock.test"))
    with pytest.raises(ConfigError, match=r"config is no INI file"):
        keys.check(ROUTE)


# Profile files.


@pytest.mark.parametrize(
    ("credential", "config", "name"),
    [
        (f"[default]\n{KEYS}", "", None),
        (f"\ufeff[default]\r\n{KEYS}", "", None),
        (f"# ours\n; too\n[default]\n{KEYS.upper().replace(CANARY.upper(), CANARY)}", "", None),
        (f"[other]\nnonsense=1\n[default]\n{KEYS.replace(' = ', '=')}", "[default]\n", None),
        ("", f"[default]\n{KEYS}", None),
        ("", f"[profile p]\n{KEYS}", "p"),
        ("", f'[profile "p q"]\n{KEYS}', "p q"),
        ("", f"[profile  p]\n{KEYS}s3 =\n  addressing_style = path\n", "p"),
        (f"[p]\n{KEYS}", "[profile p]\nsso_session = x\nregion = eu-west-1\n", "p"),
        (f"[p]\n{KEYS}", "[profile p]\ncredential_process = /bin/false\n", "p"),
        (f"[p]\nregion = x\n[p]\n{KEYS}", "", "p"),
        (f"[p]\n{KEYS}[p%s]\nx = %(y)s\n", "", "p"),
        (f"[default]\n{KEYS}", f"[default]\n{KEYS.replace('FILE', 'CONFIG')}", None),
    ],
)
def test_profiles_of_every_shape(
    credential: str, config: str, name: str | None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "credentials").write_bytes(credential.encode())
    (home / "config").write_bytes(config.encode())
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    assert key_id(with_key(profile=name)) == "AKIDFILE"
    found = credentials.standing(with_key(profile=name)).credentials
    assert isinstance(found, AwsKeys)
    assert found.secret_access_key == Secret(CANARY)


def test_files_may_be_elsewhere(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "credentials").write_text("broken")
    (tmp_path / "a").write_text(f"[default]\n{KEYS}")
    (tmp_path / "b").write_text("[default]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "~/a")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "b"))
    assert (key_id(), credentials.standing(ROUTE).region) == ("AKIDFILE", "eu-west-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(ConfigError, match="no AWS region is known"):
        keys.check(ROUTE)


def test_a_file_is_read_once_for_many_requests(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    (home / "credentials").write_text(f"[default]\n{KEYS}")
    first = profiles.find(None)
    assert first is not None
    assert profiles.find(None) is first
    (home / "config").write_text("[default]\nregion = eu-west-1\n")
    assert profiles.find(None) is not first


BAD: Final = {
    "no_section": (KEYS, r"credentials is no INI file, as line 1 shows; mend it"),
    "no_option": (f"[default]\n{KEYS}{CANARY}\n", r"is no INI file, as line 4 shows"),
    "not_text": (b"\xff\xfe" + KEYS.encode(), r"is not text in UTF-8"),
    "huge": (b"#" * (1 << 20) + b"#", r"is larger than 1 MiB"),
    "no_secret": (
        "[default]\naws_access_key_id = AKIDFILE\n",
        r"profile 'default' in .*credentials has an aws_access_key_id and no aws_secret_access_key",
    ),
    "no_id": (
        f"[default]\naws_secret_access_key = {CANARY}\n",
        r"has an aws_secret_access_key and no aws_access_key_id; add it",
    ),
    "swapped": (
        f"[default]\naws_access_key_id = {CANARY}\naws_secret_access_key = AKIDFILE\n",
        r"holds a key that no header may carry, or an id that is none",
    ),
    "not_ascii": (f"[default]\n{KEYS[:-1]}é\n", r"holds a key that no header may carry"),
    "two_lines": (f"[default]\n{KEYS} {CANARY}\n", r"holds a key that no header may carry"),
    "token": (f"[default]\n{KEYS}aws_session_token = {CANARY}\x01\n", r"no header may carry"),
    "empty": ("[default]\n", r"profile 'default' has no aws_access_key_id; add it, or set AWS_ACC"),
    "nothing": (
        "",
        r"no AWS credentials are found; set AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KE",
    ),
    "sso": (
        "[default]\nsso_session = x\n",
        r"'default' signs in through SSO.* `aws configure export-credentials --profile default ",
    ),
    "login": ("[default]\nlogin_session = x\n", r"signs in through a browser, which"),
    "process": (f"[default]\ncredential_process = x {CANARY}\n", r"starts a program for its cred"),
    "web": (
        "[default]\nrole_arn = x\nweb_identity_token_file = y\n",
        r"a role with a web identity",
    ),
    "role": (f"[default]\n{KEYS}role_arn = x\nsource_profile = y\n", r"takes on a role, which"),
}


@pytest.mark.parametrize(("content", "sentence"), BAD.values(), ids=BAD)
def test_a_file_that_gives_no_keys_is_one_sentence_without_its_secrets(
    content: str | bytes, sentence: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    (home / "credentials").write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(lambda: keys.check(ROUTE), ConfigError, sentence)
    refused(send, GoneError, sentence)


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"AWS_ACCESS_KEY_ID": "AKID"}, "AWS_ACCESS_KEY_ID is set and AWS_SECRET_ACCESS_KEY is no"),
        (
            {"AWS_SECRET_ACCESS_KEY": CANARY},
            "AWS_SECRET_ACCESS_KEY is set and AWS_ACCESS_KEY_ID is",
        ),
        (
            {"AWS_ACCESS_KEY_ID": CANARY, "AWS_SECRET_ACCESS_KEY": "AKID"},
            "the AWS access key id is not made of .*; check AWS_ACCESS_KEY_ID",
        ),
        (
            {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": f"{CANARY}\n"},
            "AWS_SECRET_ACCESS_KEY has spaces around it",
        ),
        (
            {
                "AWS_ACCESS_KEY_ID": "AKID",
                "AWS_SECRET_ACCESS_KEY": CANARY,
                "AWS_SESSION_TOKEN": f"{CANARY}é",
            },
            "m: AWS_SESSION_TOKEN has spaces around it or holds what no header may carry; set it",
        ),
        ({BEARER: f" {CANARY}"}, f"{BEARER} has spaces around it"),
        ({"AWS_PROFILE": "absent"}, r"no AWS profile 'absent' in .*credentials nor in .*config;"),
        ({BEARER: CANARY, "AWS_REGION": "evil.test/"}, "region 'evil.test/' is none; give one"),
        ({BEARER: CANARY, "AWS_REGION": ""}, "no AWS region is known; set AWS_REGION"),
        ({"AWS_SHARED_CREDENTIALS_FILE": "/"}, "the AWS file / is no plain file; mend it, or set"),
    ],
)
def test_an_environment_that_gives_none_is_one_sentence_too(
    variables: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"AWS_REGION": "us-east-1", **variables}.items():
        monkeypatch.setenv(name, value)
    refused(lambda: keys.check(ROUTE), ConfigError, sentence)
    refused(send, GoneError, sentence)


def send() -> None:
    async def main() -> None:
        transport = Transport()
        try:
            await transport.send(
                ROUTE, "POST", "/model/m/converse", b"{}", (), timeout=1, gate=None
            )
        finally:
            await transport.aclose()

    asyncio.run(main())


def refused(what: Callable[[], object], kind: type[HeadraceError], sentence: str) -> None:
    with pytest.raises(kind, match=sentence) as caught:
        what()
    assert str(caught.value).startswith("bedrock/m: ")
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    # The frames of this file hold what the test itself has made up.
    shown.stack = traceback.StackSummary.from_list(
        [frame for frame in shown.stack if frame.filename != __file__]
    )
    assert CANARY not in "".join(shown.format())


# Never shown.


@pytest.mark.parametrize(
    "value",
    [GIVEN, KeySource(aws=GIVEN), credentials.Standing(GIVEN, "r", "u"), with_key(aws=GIVEN)],
)
def test_secrets_are_in_no_form_of_it(value: object) -> None:
    for shown in (repr(value), str(value), f"{value}", f"{value!r:>9}"):
        assert CANARY not in shown
    for copied in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            copied(value)
    with pytest.raises(TypeError):
        orjson.dumps(value)


def test_keys_refuse_to_be_plain_data_or_to_hold_a_secret_for_an_id() -> None:
    with pytest.raises(TypeError, match="cannot be pickled"):
        asdict(GIVEN)
    with pytest.raises(ConfigError, match="the AWS access key id is not made of") as caught:
        AwsKeys(CANARY, Secret(CANARY))
    assert CANARY not in str(caught.value)
    for wrong in ((CANARY, None), (None, None), (Secret(CANARY), CANARY)):
        with pytest.raises(ConfigError, match="must each be given as a Secret") as caught:
            AwsKeys("AKID", *wrong)
        assert CANARY not in str(caught.value)
