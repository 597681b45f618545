"""What is shown while a run goes on: on a terminal, elsewhere, and to nobody at all."""

from __future__ import annotations

import io
import os
import pty
import sys
import termios
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from headrace import Binding
from headrace.adapters.progress import BETWEEN_LINES, Progress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Broken(io.StringIO):
    """A stream whose reader has gone away."""

    def write(self, _: str) -> int:
        raise BrokenPipeError


def add(progress: Progress, rows: int, *, failed: bool = False, known: bool = False) -> None:
    for _ in range(rows):
        progress.add(failed=failed, tokens=10, cost_nanos=None, known=known)


def test_nothing_is_said_of_a_short_run_that_nobody_watches() -> None:
    stream, clock = io.StringIO(), Hands()
    progress = Progress(3, stream, clock=clock)
    add(progress, 3)
    progress.close()
    assert stream.getvalue() == ""


def test_a_line_now_and_then_tells_how_things_stand() -> None:
    stream, clock = io.StringIO(), Hands()
    progress = Progress(1000, stream, clock=clock)
    add(progress, 59)
    clock.now += BETWEEN_LINES
    progress.add(failed=True, tokens=1000, cost_nanos=12_300_000)
    assert stream.getvalue() == (
        "60 of 1,000 done, 1 failed, 2.0/s, 1,590 tokens, $0.0123, 7 min 50 s left\n"
    )
    clock.now += BETWEEN_LINES - 1
    progress.tick()
    assert stream.getvalue().count("\n") == 1


def test_the_rate_is_that_of_the_last_interval_and_silence_shows() -> None:
    stream, clock = io.StringIO(), Hands()
    progress = Progress(None, stream, clock=clock)
    add(progress, 300)
    for _ in range(3):
        clock.now += BETWEEN_LINES
        progress.tick()
    assert stream.getvalue().splitlines() == [
        "300 done, 10.0/s, 3,000 tokens",
        "300 done, 5.0/s, 3,000 tokens",
        "300 done, 0.0/s, 3,000 tokens",
    ]


def test_rows_of_an_earlier_run_promise_no_speed() -> None:
    stream, clock = io.StringIO(), Hands()
    progress = Progress(10_000, stream, clock=clock)
    add(progress, 9_000, known=True)
    add(progress, 10)
    clock.now += BETWEEN_LINES
    progress.tick()
    assert "9,010 of 10,000 done, 20.0/min, 90,100 tokens, 49 min 30 s left\n" in stream.getvalue()


def test_long_and_short_times_are_readable() -> None:
    for rows, said in ((30 * 3, "2 s left"), (30, "6 s left"), (1, "1 h 43 min left")):
        stream, clock = io.StringIO(), Hands()
        total = rows + 6 if rows > 1 else 208
        progress = Progress(total, stream, clock=clock)
        add(progress, rows)
        clock.now += BETWEEN_LINES
        progress.tick()
        assert said in stream.getvalue()


@pytest.fixture
def terminal() -> Iterator[tuple[TextIO, int]]:
    """A terminal of no stated size, and the end at which one sees what is drawn."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as stream:
        yield stream, master
    os.close(master)


def seen(stream: TextIO, master: int) -> str:
    """All that was drawn: a terminal hands it on in pieces, so a last one is waited for."""
    stream.write("\a")
    stream.flush()
    drawn = ""
    while not drawn.endswith("\a"):
        drawn += os.read(master, 1 << 16).decode()
    return drawn[:-1]


def test_a_terminal_gets_a_bar_that_stays_at_the_end(terminal: tuple[TextIO, int]) -> None:
    stream, master = terminal
    clock = Hands()
    progress = Progress(4, stream, clock=clock)
    add(progress, 1)
    clock.now += 1
    add(progress, 1, failed=True)
    progress.close()
    drawn = seen(stream, master).replace("\r\n", "\n")
    assert drawn.endswith("\n")
    last = drawn.rstrip("\n").rpartition("\r")[2]
    assert last.startswith(" 50%|")
    assert "| 2 of 4 done, 1 failed, 2.0/s, 20 tokens, 1 s left" in last
    progress.close()
    progress.tick()


def test_without_a_total_there_is_no_bar_but_all_the_figures(terminal: tuple[TextIO, int]) -> None:
    stream, master = terminal
    termios.tcsetwinsize(stream.fileno(), (24, 90))
    progress = Progress(None, stream, clock=Hands())
    add(progress, 1)
    progress.close()
    assert "1 done, " in seen(stream, master)


def test_a_stream_that_is_gone_ends_no_run() -> None:
    clock = Hands()
    progress = Progress(4, Broken(), clock=clock)
    clock.now += BETWEEN_LINES
    add(progress, 1)
    progress.close()


def test_without_any_stderr_nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    clock = Hands()
    progress = Progress(4, clock=clock)
    clock.now += BETWEEN_LINES
    add(progress, 1)
    progress.close()


class Plain:
    """What people put in the place of stderr to have it in a log."""

    def __init__(self) -> None:
        self.said = ""

    def write(self, text: str) -> None:
        self.said += text


@pytest.mark.parametrize("closed", [True, False])
def test_whatever_stands_in_the_place_of_stderr_ends_no_run(
    monkeypatch: pytest.MonkeyPatch, closed: bool
) -> None:
    stream: io.StringIO | Plain = io.StringIO() if closed else Plain()
    if isinstance(stream, io.StringIO):
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    clock = Hands()
    progress = Progress(4, clock=clock)
    clock.now += BETWEEN_LINES
    add(progress, 1)
    progress.close()
    assert isinstance(stream, io.StringIO) or stream.said.startswith("1 of 4 done")


def kernel(config: object) -> ModuleType:
    """What ``IPython`` looks like from inside a notebook."""
    module = ModuleType("IPython")
    shell = None if config is None else SimpleNamespace(config=config)
    module.__dict__["get_ipython"] = lambda: shell
    return module


def test_a_notebook_without_widgets_gets_the_plain_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", kernel({"IPKernelApp": {}}))
    # None is what an import that fails looks like, wherever it is installed.
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    stream = io.StringIO()
    progress = Progress(1, stream, clock=Hands())
    add(progress, 1)
    progress.close()
    assert "100%|" in stream.getvalue()


@pytest.mark.parametrize("config", [None, {}])
def test_an_ipython_that_is_no_notebook_is_a_terminal_or_none(
    monkeypatch: pytest.MonkeyPatch, config: object
) -> None:
    monkeypatch.setitem(sys.modules, "IPython", kernel(config))
    stream = io.StringIO()
    Progress(1, stream).close()
    assert stream.getvalue() == ""


def test_a_notebook_with_widgets_gets_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ipywidgets")
    shell = pytest.importorskip("IPython")
    monkeypatch.setattr(shell, "get_ipython", lambda: SimpleNamespace(config={"IPKernelApp": {}}))
    stream = io.StringIO()
    progress = Progress(1, stream, clock=Hands())
    add(progress, 1)
    progress.close()
    assert stream.getvalue() == ""
    capsys.readouterr()


def test_what_has_bound_for_a_second_is_said_beside_the_figures(
    terminal: tuple[TextIO, int],
) -> None:
    stream, master = terminal
    termios.tcsetwinsize(stream.fileno(), (24, 150))
    clock, bound = Hands(), [Binding("tokens/min", "openai/m#2", 1_000, seconds=2.0)]
    progress = Progress(None, stream, clock=clock, binding=lambda: bound)
    for _ in range(3):
        clock.now += 0.4
        progress.tick()
    assert "waits" not in seen(stream, master)
    clock.now += 0.4
    progress.tick()
    assert "0.0/s, 0 tokens | waits for tokens/min of openai/m key 2" in seen(stream, master)
    bound.clear()
    clock.now += 0.4
    progress.tick()
    progress.close()
    assert "waits" not in seen(stream, master)


def test_of_what_has_bound_for_long_the_first_is_said_while_it_binds() -> None:
    stream, clock = io.StringIO(), Hands()
    pace, quiet = Binding("pace", "openai/m"), Binding("quiet", "openai/m", seconds=9.0)
    bound = [pace]
    progress = Progress(None, stream, clock=clock, binding=lambda: bound)

    def tick(seconds: float) -> None:
        clock.now += seconds
        progress.tick()

    for _ in range(28):
        tick(1)
    bound.insert(0, quiet)
    tick(1)
    tick(1)
    assert stream.getvalue().endswith(" | waits for quiet that openai/m asked for\n")
    for _ in range(29):
        tick(1)
    bound.remove(quiet)
    tick(1)
    assert stream.getvalue().endswith(" | waits for pace of openai/m\n")


def test_it_is_asked_what_binds_a_few_times_a_second_and_not_for_each_row() -> None:
    asked: list[float] = []
    clock = Hands()

    def binding() -> list[Binding]:
        asked.append(clock.now)
        return []

    progress = Progress(None, io.StringIO(), clock=clock, binding=binding)
    for _ in range(100):
        clock.now += 0.01
        add(progress, 10)
    assert 4 <= len(asked) <= 5
