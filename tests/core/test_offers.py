"""How an endpoint does what is no chat: what is not said of some models is as for the others."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.core.errors import ConfigError
from headrace.core.model import Offer

USUAL: dict[str, Any] = {"wire": "vertex", "items": 250, "renames": {"dimensions": "size"}}


@pytest.mark.parametrize("made", [dict[str, object], Offer], ids=["dict", "Offer"])
def test_some_models_are_as_the_others_but_for_what_is_said_of_them(made: Any) -> None:  # noqa: ANN401  a dict or a row, made alike
    offer = Offer(**USUAL, models={"small": made(items=1), "plain": made(renames={})})
    assert offer.of("a-small-one") == Offer(**{**USUAL, "items": 1})
    assert offer.of("plain") == Offer(**{**USUAL, "renames": {}})
    assert offer.of("another") is offer
    assert Offer(**offer.model_dump()) == Offer(**dict(offer)) == offer


def test_what_says_nothing_of_models_is_refused() -> None:
    with pytest.raises(ConfigError, match="models"):
        Offer(models={"small": 5})  # type: ignore[dict-item]  # on purpose
