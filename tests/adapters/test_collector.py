"""While a run is under way the collector looks less often, and afterwards as before."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from headrace.adapters.collector import DURING_RUNS, relieved

if TYPE_CHECKING:
    from collections.abc import Iterator

USUAL = (700, 10, 10)


@pytest.fixture(autouse=True)
def usual_thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(*USUAL)
    yield
    gc.set_threshold(*before)
    gc.enable()


def test_runs_may_overlap_and_the_last_one_puts_it_back() -> None:
    with relieved():
        assert gc.get_threshold() == DURING_RUNS
        with relieved():
            assert gc.get_threshold() == DURING_RUNS
        assert gc.get_threshold() == DURING_RUNS
    assert gc.get_threshold() == USUAL


def test_it_is_put_back_after_an_error() -> None:
    with pytest.raises(KeyError), relieved():
        raise KeyError
    assert gc.get_threshold() == USUAL


def test_a_collector_that_is_off_stays_as_it_is() -> None:
    gc.disable()
    with relieved():
        assert gc.get_threshold() == USUAL
        assert not gc.isenabled()
    assert gc.get_threshold() == USUAL


def test_higher_thresholds_stay_as_they_are() -> None:
    gc.set_threshold(500_000, 5, 5)
    with relieved():
        assert gc.get_threshold() == (500_000, 5, 5)
    assert gc.get_threshold() == (500_000, 5, 5)


def test_what_the_program_sets_during_a_run_counts() -> None:
    with relieved():
        gc.set_threshold(900, 9, 9)
    assert gc.get_threshold() == (900, 9, 9)
