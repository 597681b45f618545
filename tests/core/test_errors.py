"""The error tree: the class is the classification, and each error is plain data."""

from __future__ import annotations

import copy
import json
import pickle
import re
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core import errors
from headrace.core.errors import (
    Charged,
    Concerns,
    ConfigError,
    GoneError,
    HeadraceError,
    NotSentError,
    OverloadedError,
    ProviderError,
    QuotaError,
    RateLimitError,
    RejectedError,
    ReplyError,
    RequestError,
    RunStoppedError,
)
from headrace.core.events import AttemptFailed, BreakerChanged, RequestFinished, RouteParked
from headrace.core.reply import Reply
from headrace.core.response import APIResponse, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator


def _below(kind: type[HeadraceError]) -> Iterator[type[HeadraceError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__ and child.__bases__[0] is kind:
            yield from _below(child)


TREE = list(_below(HeadraceError))


def test_every_class_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in TREE]
    assert len(set(codes)) == len(codes)
    assert all("code" in vars(kind) for kind in TREE)
    assert all(re.fullmatch(r"[a-z_]+", code) for code in codes)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = re.findall(r"[├└]── (\w+)", errors.__doc__ or "")
    assert ["HeadraceError", *drawn] == [kind.__name__ for kind in TREE]


def test_every_class_says_what_it_means() -> None:
    assert all((kind.__doc__ or "").strip().endswith(".") for kind in TREE)


@pytest.mark.parametrize(
    ("kind", "here", "elsewhere", "charged", "rest"),
    [
        (ConfigError, False, False, "no", ("run", False)),
        (RunStoppedError, False, False, "no", ("run", False)),
        (errors.NoRouteError, False, False, "no", ("run", False)),
        (errors.JournalError, False, False, "no", ("run", False)),
        (errors.AllRoutesFailedError, False, False, "no", ("request", False)),
        (errors.AllRoutesClosedError, False, False, "no", ("run", False)),
        (errors.AllRoutesLateError, False, False, "unknown", ("request", False)),
        (RequestError, False, False, "no", ("request", False)),
        (errors.BadRowError, False, False, "no", ("request", False)),
        (errors.TooLargeError, False, False, "no", ("request", False)),
        (errors.DeadlineError, False, False, "unknown", ("request", False)),
        (errors.UnexpectedError, False, False, "unknown", ("request", False)),
        (ProviderError, False, False, "no", ("route", False)),
        (NotSentError, True, True, "no", ("route", True)),
        (errors.HeldBackError, True, True, "no", ("route", False)),
        (errors.OutcomeUnknownError, True, True, "unknown", ("route", True)),
        (OverloadedError, True, True, "no", ("route", True)),
        (RateLimitError, True, True, "no", ("route", False)),
        (QuotaError, False, True, "no", ("account", False)),
        (GoneError, False, True, "no", ("route", False)),
        (RejectedError, False, False, "no", ("request", False)),
        (errors.TooLongError, False, True, "no", ("request", False)),
        (errors.NotTakenError, False, True, "no", ("request", False)),
        (errors.ContentFilterError, False, False, "unknown", ("request", False)),
        (ReplyError, True, True, "unknown", ("route", False)),
    ],
)
def test_what_each_class_stands_for(
    kind: type[HeadraceError], here: bool, elsewhere: bool, charged: str, rest: tuple[str, bool]
) -> None:
    assert (kind.repeat_here, kind.repeat_elsewhere) == (here, elsewhere)
    assert kind.charged is Charged(charged)
    assert (kind.concerns, kind.trips_breaker) == (Concerns(rest[0]), rest[1])
    assert kind("no").retryable is (here or elsewhere)


@pytest.mark.parametrize("kind", TREE)
@given(message=st.text())
def test_every_error_is_json_whatever_it_quotes(kind: type[HeadraceError], message: str) -> None:
    error = kind(message)
    data = error.to_dict()
    assert orjson.loads(orjson.dumps(data)) == json.loads(json.dumps(data)) == data
    assert data == {"code": kind.code, "message": str(error), "retryable": error.retryable}


def test_a_lone_surrogate_in_a_message_is_written_as_an_escape() -> None:
    assert str(HeadraceError("é \ud800")) == "é \\ud800"


def test_details_stand_beside_the_message_where_there_are_any() -> None:
    error = OverloadedError("busy", status=503, hint=2.0, details={"type": "x"})
    error.route, error.attempt = "openai/m", 3
    first = RateLimitError("slow", status=429)
    first.route = "openai/m"
    error.history = (first,)
    assert error.to_dict() == {
        "code": "overloaded",
        "message": "busy",
        "retryable": True,
        "route": "openai/m",
        "attempt": 3,
        "status": 503,
        "hint": 2.0,
        "details": {"type": "x"},
        "history": [{"code": "rate_limited", "message": "slow", "route": "openai/m"}],
    }


def test_the_raw_reply_is_no_part_of_the_data() -> None:
    error = ReplyError("what", reply=Reply(200, b"secret prompt"), usage=Usage(1, 2))
    assert "secret" not in repr(error.to_dict())
    assert "secret" not in repr(error.reply)


@pytest.mark.parametrize("kind", TREE)
def test_errors_travel_between_processes(kind: type[HeadraceError]) -> None:
    error = kind("what")
    error.route = "openai/m"
    for there in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(there) is kind
        assert there.to_dict() == error.to_dict()


def test_a_bad_setting_and_a_bad_row_are_value_errors_too() -> None:
    assert issubclass(ConfigError, ValueError)
    assert issubclass(errors.BadRowError, ValueError)


def test_events_are_values() -> None:
    error = OverloadedError("busy")
    assert AttemptFailed("1", error, 0.5) == AttemptFailed("1", error, 0.5)
    assert RouteParked("openai/m", 2.0).seconds == 2.0
    assert BreakerChanged("openai/m", "open").state == "open"
    assert RequestFinished(APIResponse(id="7")).response.id == "7"
