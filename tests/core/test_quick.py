"""Classes that are filled in a faster way behave as frozen dataclasses do."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from typing import Any

import pytest

from headrace import APIResponse, RequestContext
from headrace.core.errors import BadRowError
from headrace.core.quick import quick


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Defaults of each kind, and a check."""

    x: int
    y: int = 0
    names: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what is below zero."""
        if self.x < 0:
            raise ValueError("x is below zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """The same without."""

    x: int
    y: int = 0
    names: dict[str, int] = field(default_factory=dict)


class Named(Point):
    """A subclass with room for more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deep(Point):
    """A subclass with a field of its own."""

    z: int = 3


def test_it_is_frozen_and_of_its_class() -> None:
    made = Point(x=1)
    assert type(made) is Point
    assert (made.x, made.y, made.names) == (1, 0, {})
    with pytest.raises(FrozenInstanceError):
        made.x = 2  # type: ignore[misc]  # it is frozen
    with pytest.raises(FrozenInstanceError):
        del made.x
    with pytest.raises((AttributeError, TypeError)):
        made.other = 1  # type: ignore[attr-defined]  # it has none


def test_defaults_are_made_anew() -> None:
    assert Point(x=1).names is not Point(x=1).names
    given = {"a": 1}
    assert Point(x=1, names=given).names is given


@pytest.mark.parametrize("given", [{}, {"x": 1, "q": 2}])
def test_wrong_fields_are_refused_by_name(given: dict[str, Any]) -> None:
    with pytest.raises(TypeError) as quickly:
        Point(**given)
    with pytest.raises(TypeError) as plainly:
        Plain(**given)
    assert str(quickly.value) == str(plainly.value).replace("Plain", "Point")


def test_positions_are_refused() -> None:
    with pytest.raises(TypeError, match="positional"):
        Point(1)  # type: ignore[call-arg]  # by name alone


def test_the_check_runs_at_the_end() -> None:
    with pytest.raises(ValueError, match="below zero"):
        Point(x=-1)


def test_it_is_compared_copied_and_pickled_as_ever() -> None:
    made = Point(x=1, names={"a": 1})
    assert made == Point(x=1, names={"a": 1}) != Point(x=2)
    assert repr(made) == "Point(x=1, y=0, names={'a': 1})"
    for other in (replace(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert other == made
        assert type(other) is Point
    assert replace(made, y=5).y == 5


def test_subclasses_are_filled_too() -> None:
    assert (Named(x=1).x, type(Named(x=1))) == (1, Named)
    assert (Deep(x=1).x, Deep(x=1).z) == (1, 3)
    with pytest.raises(ValueError, match="below zero"):
        Named(x=-1)


@pytest.mark.parametrize("kind", [Point, APIResponse, RequestContext])
def test_its_signature_tells_all_fields(kind: type) -> None:
    told = inspect.signature(kind).parameters
    assert list(told) == [row.name for row in fields(kind)]
    assert {row.kind for row in told.values()} == {inspect.Parameter.KEYWORD_ONLY}


def test_the_classes_of_every_request() -> None:
    response: APIResponse[object] = APIResponse(completion="hi", attempts=2)
    assert type(response) is APIResponse
    assert dict(response.metadata) == {}
    with pytest.raises(FrozenInstanceError):
        response.completion = "no"  # type: ignore[misc]  # it is frozen
    assert type(RequestContext(prompt="hi")) is RequestContext
    with pytest.raises(BadRowError):
        RequestContext(prompt="hi", deadline=-1)
