"""Values in stores: what is damaged is a miss, and what is whole comes back on every machine."""

from __future__ import annotations

import sys
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.operations import Ranked
from headrace.core.reply import Reply
from headrace.wire import values
from headrace.wire.embed.base import vector


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1))
def test_vectors_come_back(numbers: list[float]) -> None:
    assert values.load(values.dump(array("f", numbers))) == array("f", numbers)


@pytest.mark.parametrize("order", ["little", "big"])
def test_numbers_are_little_endian_wherever_they_are_written(
    order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a machine of the other order has in its memory.
    numbers = array("f", [1.5, -2.0])
    monkeypatch.setattr(sys, "byteorder", order)
    held = numbers[:]
    if order == "big":
        held.byteswap()
    assert values.dump(held) == ["vector", "AADAPwAAAMA="]
    assert values.load(["vector", "AADAPwAAAMA="]) == held
    assert vector("AADAPwAAAMA=", Reply(200, b""), None) == held


@pytest.mark.parametrize(
    "damaged",
    [
        [],
        ["vector"],
        ["vector", 5],
        ["vector", "?"],
        ["vector", "AAA="],
        ["unknown", 1],
        ["moderation", 1, {}, {}],
        ["audio", "AAAA", None],
        ["audio", "?", "audio/wav"],
        ["audio", "AAAA", "text/plain"],
        ["ranking", [[1]]],
        ["ranking", [["x", 1]]],
        ["ranking", [5]],
        5,
        None,
    ],
)
def test_what_is_damaged_is_a_miss(damaged: object) -> None:
    with pytest.raises(ValueError, match="treat it as a miss"):
        values.load(damaged)


def test_what_a_schema_made_is_not_kept() -> None:
    for value in ({"a": 1}, (1, 2), 5, "text", None, ()):
        assert values.dump(value) is None
    assert values.dump((Ranked(1, 0.5),)) == ["ranking", [[1, 0.5]]]
