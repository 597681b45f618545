"""A key shows itself only to whoever asks for it by name."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import pprint
import reprlib
import traceback
from dataclasses import asdict, dataclass
from typing import cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from headrace.core.errors import ConfigError
from headrace.core.model import KeySource
from headrace.core.secret import Secret

KEY = "sk-live-0123456789"
printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)


class Held(BaseModel):
    """A pydantic model that holds a key."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    key: Secret


@dataclass
class Kept:
    """A dataclass that holds a key."""

    key: Secret


@given(printable)
def test_a_key_comes_back_only_by_name(key: str) -> None:
    assert Secret(key).reveal() == key
    assert Secret(key) == Secret(key)
    assert Secret(key) != Secret(key + "x")
    assert Secret(key) != key
    assert hash(Secret(key)) == hash(Secret(key))


def test_a_key_is_masked_in_every_form(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(KEY)
    with caplog.at_level(logging.INFO):
        logging.getLogger("test").info("%s %r %s", secret, secret, {"key": [secret]})
    shown = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>40}",
        f"{secret!r} {secret!s} {secret!a}",
        "{} {:x}".format(secret, secret),  # noqa: UP032 - one more way to format
        "%s %r" % (secret, secret),  # noqa: UP031 - one more way to format
        ascii(secret),
        pprint.pformat([secret]),
        reprlib.repr(secret),
        repr(KeySource(secret=secret)),
        repr(Held(key=secret)),
        str(Held(key=secret)),
        repr(Held(key=secret).model_dump()),
        json.dumps([secret], default=str),
        orjson.dumps([secret], default=str).decode(),
        caplog.text,
    ]
    assert all("********" in text and KEY not in text for text in shown)


def test_a_key_has_no_dict_to_look_into() -> None:
    with pytest.raises(TypeError):
        vars(Secret(KEY))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_key_is_not_pickled(protocol: int) -> None:
    for value in (Secret(KEY), [Secret(KEY)], KeySource(secret=Secret(KEY)), Kept(Secret(KEY))):
        with pytest.raises(TypeError, match="environment variable") as caught:
            pickle.dumps(value, protocol)
        assert KEY not in str(caught.value)


def test_a_key_is_not_copied() -> None:
    secret = Secret(KEY)
    for attempt in (
        lambda: copy.copy(secret),
        lambda: copy.deepcopy(secret),
        lambda: copy.deepcopy({"key": [secret]}),
        lambda: asdict(Kept(secret)),
        lambda: asdict(KeySource(secret=secret)),
        secret.__getstate__,
    ):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            attempt()


def test_a_key_is_not_json() -> None:
    for attempt in (
        lambda: json.dumps(Secret(KEY)),
        lambda: orjson.dumps(Secret(KEY)),
        lambda: orjson.dumps(KeySource(secret=Secret(KEY))),
        lambda: Held(key=Secret(KEY)).model_dump_json(),
    ):
        with pytest.raises(Exception, match="serializ") as caught:
            attempt()
        assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "bad",
    ["", " ", f" {KEY}", f"{KEY}\n", f"{KEY}\r\nX-Evil: 1", f"{KEY}\0", f"{KEY}é", KEY.encode(), 5],
)
def test_what_no_header_may_carry_is_refused_and_never_quoted(bad: object) -> None:
    with pytest.raises(ConfigError, match="the API key") as caught:
        Secret(cast("str", bad))
    assert KEY not in str(caught.value)
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_a_traceback_with_locals_does_not_show_a_key() -> None:
    def fail(secret: Secret) -> None:
        raise RuntimeError(str(secret))

    with pytest.raises(RuntimeError) as caught:
        fail(Secret(KEY))
    summary = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    inner = "".join(summary.format()).split("in fail")[1]
    assert "********" in inner
    assert KEY not in inner
