"""``headrace run``: from a file of prompts to a file of answers, in memory that does not grow."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from headrace.adapters.disk import LocalDisk, remedy
from headrace.adapters.progress import Progress
from headrace.adapters.registered import check_rows, load_rows, table
from headrace.cli import say
from headrace.cli.chat import CHAT
from headrace.cli.flags import in_flags
from headrace.cli.forms import called
from headrace.cli.lines import COMPLETIONS
from headrace.cli.output import FileOutput, Output, PipeOutput, journal_of
from headrace.cli.rows import Input
from headrace.cli.shapes import load_schema, load_tools
from headrace.client import LLMClient
from headrace.core.errors import BadRowError, ConfigError, JournalError, RunStoppedError
from headrace.core.model import Price
from headrace.core.params import SamplingParams

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator

    from headrace.cli.fields import Fields
    from headrace.cli.lines import Columns
    from headrace.core.model import Model
    from headrace.core.response import APIResponse
    from headrace.engine.streams import ResponseStream

ALL_ANSWERED: Final = 0
SOME_FAILED: Final = 1
BAD_USAGE: Final = 2
STOPPED: Final = 3
INTERRUPTED: Final = 130
# Of a failure that is told; all of it is on its line of the output.
SHOWN: Final = 500

_CLIENT: Final = (
    "model_weights",
    "base_url",
    "max_requests_per_minute",
    "max_tokens_per_minute",
    "max_concurrent_requests",
    "shared_limits",
    "max_attempts",
    "request_timeout",
    "deadline",
    "patience",
    "breaker",
    "hedge",
    "cache",
    "coalesce",
    "spill",
    "remember_limits",
    "seed",
    "allow_http",
    "proxy",
    "ca_file",
    "trust_env",
)
# The flags of sampling parameters, where they are not called as these.
_SAMPLING: Final = {name: name for name in SamplingParams.model_fields} | {"seed": "sampling_seed"}


class Kind(NamedTuple):
    """What one command for many rows has of its own.

    ``opener`` makes of the client and the flags what opens a stream: called with contexts,
    ``ordered`` and ``journal``.
    """

    fields: Fields
    columns: Columns
    opener: Callable[[LLMClient, Namespace], Callable[..., ResponseStream]]


def execute(arguments: Namespace) -> int:
    """Answer every row of prompts; see ``carry_out``."""
    return carry_out(arguments, Kind(CHAT, COMPLETIONS, _opener))


def _opener(client: LLMClient, arguments: Namespace) -> Callable[..., ResponseStream]:
    return partial(
        client.process_stream,
        tools=load_tools(arguments.tools),
        output_schema=load_schema(arguments.output_schema),
    )


def carry_out(arguments: Namespace, kind: Kind) -> int:
    """Answer every row and return the exit code.

    Raises ``ConfigError`` before the first request, and ``RunStoppedError`` or ``OSError`` when the
    run cannot go on; what was answered is kept.
    """
    client = _client(arguments)
    opens = kind.opener(client, arguments)
    with ExitStack() as closes:
        source = closes.enter_context(closing(Input(arguments.input, kind.fields)))
        output = closes.enter_context(closing(_open_output(arguments, source, kind.columns)))
        return _Run(client, source, output, arguments, opens).to_its_end()


class _Run:
    """One run of the command."""

    def __init__(
        self,
        client: LLMClient,
        source: Input,
        output: Output,
        arguments: Namespace,
        opens: Callable[..., ResponseStream],
    ) -> None:
        self._client = client
        self._source = source
        self._output = output
        self._journal = output.journal if isinstance(output, FileOutput) else None
        self._opens = opens
        self._ordered: bool = arguments.ordered
        self._shows_progress = not (arguments.no_progress or arguments.quiet)
        self._quiet: bool = arguments.quiet
        self._progress: Progress | None = None
        self._rows: int | None = None
        self._first_failure: APIResponse[object] | None = None

    def to_its_end(self) -> int:
        """Run, put the output in order however it ended, and say what became of it."""
        if not self._quiet:
            self._rows = self._source.count()
        if self._shows_progress:
            self._progress = Progress(self._rows, binding=lambda: self._client.statistics().binding)
        try:
            asyncio.run(self._until_signal())
        except (KeyboardInterrupt, asyncio.CancelledError):
            self._stop()
            self._say_how_to_go_on("Interrupted.")
            return INTERRUPTED
        except (RunStoppedError, OSError) as error:
            self._stop()
            return self._stopped_by(error)
        except BaseException:
            self._stop()
            raise
        try:
            self._end(complete=True)
        except OSError as error:  # all is answered; the output could not be put in order
            return self._stopped_by(error)
        run = self._client.last_run
        return SOME_FAILED if run is not None and run.summary.failed else ALL_ANSWERED

    def _stopped_by(self, error: RunStoppedError | OSError) -> int:
        if isinstance(error, BrokenPipeError):
            _let_go_of_stdout()
        say.line(f"headrace: {_sentence(error)}")
        if isinstance(error, JournalError) and not self._source.is_begun:
            say.line("Nothing was asked.")
            return BAD_USAGE
        self._say_how_to_go_on("Stopped.")
        return STOPPED

    async def _until_signal(self) -> None:
        me = asyncio.current_task()
        assert me is not None  # noqa: S101 - a coroutine always runs in one
        with _on_signals(me.cancel):
            await self._drive()

    async def _drive(self) -> None:
        ticking = nullcontext() if self._progress is None else self._progress.ticking()
        async with (
            ticking,
            self._client,
            self._opens(
                self._source.contexts(), ordered=self._ordered, journal=self._journal
            ) as responses,
        ):
            async for response in responses:
                named = self._source.naming(response)
                self._output.write(named)
                self._count(named)

    def _count(self, response: APIResponse[object]) -> None:
        first = self._first_failure
        if response.error is not None and (first is None or response.index < first.index):
            self._first_failure = response
        if self._progress is not None:
            self._progress.show(response)

    def _end(self, *, complete: bool) -> None:
        if self._progress is not None:
            self._progress.close()
        self._output.finish(complete=complete)
        run = self._client.last_run
        if run is None or self._quiet:
            return
        if self._source.is_begun:
            run.summary.expected = self._rows
            say.line(str(run.summary))
            self._say_what_failed_first()
            self._say_what_stands()
        elif complete:
            say.line(f"Nothing was asked: {called(self._source.path)} holds no rows.")

    def _say_what_failed_first(self) -> None:
        first = self._first_failure
        if first is not None and first.error is not None:
            said = f"First failure: row {first.id}: {in_flags(first.error.message)}"
            say.line(said if len(said) <= SHOWN else f"{said[:SHOWN]} …")

    def _say_what_stands(self) -> None:
        output = self._output
        if not isinstance(output, FileOutput):
            return
        if output.replaced:
            say.line(
                f"{output.replaced:,} replaced in {output.path}, answered by other models or for"
                " other prompts or parameters; the journal keeps those answers."
            )
        if output.dropped:
            say.line(
                f"{output.dropped:,} removed from {output.path}, of rows that are not in the input;"
                " the journal keeps their answers."
            )
        if not output.is_empty:
            say.line(f"The answers are in {output.path}.")

    def _stop(self) -> None:
        # What stopped the run is told; that the output cannot be put in order adds nothing.
        with suppress(OSError):
            self._end(complete=False)

    def _say_how_to_go_on(self, why: str) -> None:
        if self._journal is None:
            say.line(f"{why} Rows that were not answered have to be asked again.")
        elif isinstance(self._output, FileOutput) and self._output.is_empty:
            say.line(f"{why} Run the same command again to go on.")
        else:
            say.line(f"{why} What is answered is kept; run the same command again to go on.")


def _client(arguments: Namespace) -> LLMClient:
    if arguments.rows is not None:
        load_rows(arguments.rows)
    check_rows()
    given = {name: getattr(arguments, name) for name in _CLIENT}
    return LLMClient(
        _models(arguments),
        api_key=_api_key(arguments.api_key_env),
        sampling_params=_sampling(arguments),
        **{name: value for name, value in given.items() if value is not None},
    )


def _models(arguments: Namespace) -> list[str | Model]:
    if arguments.price is None:
        return list(arguments.model)
    of_input, of_output = arguments.price
    price = Price(input=of_input, output=of_output)
    known = table()
    return [known.model(name).model_copy(update={"price": price}) for name in arguments.model]


def _api_key(name: str | None) -> str | None:
    if name is None:
        return None
    key = os.environ.get(name)
    if not key:
        raise ConfigError(
            f"the environment variable {name} is not set; put the API key into it, or name another"
        )
    return key


def _sampling(arguments: Namespace) -> SamplingParams | None:
    # Not every command has all of them.
    flags = {name: getattr(arguments, flag, None) for name, flag in _SAMPLING.items()}
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return SamplingParams.from_row(given) if given else None
    except BadRowError as error:
        raise ConfigError(str(error)) from None


def _open_output(arguments: Namespace, source: Input, columns: Columns) -> Output:
    where, path = arguments.output, Path(arguments.output)
    if where == "-" and sys.stdout is None:
        raise ConfigError("the standard output is closed; give -o the path of a file")
    try:
        found = os.fstat(sys.stdout.fileno()) if where == "-" else path.stat()
    except OSError:  # it is made, or the reason why not is told, when it is opened
        found = None
    is_file = found is None or stat.S_ISREG(found.st_mode)
    if found is not None and is_file and os.path.samestat(found, source.status):
        name = "the standard output" if where == "-" else path
        raise ConfigError(f"{name} is the input and the output; give another -o")
    if where == "-":
        return PipeOutput(sys.stdout.buffer, closes=False, columns=columns)
    if found is not None and not is_file and not stat.S_ISDIR(found.st_mode):
        return _open_pipe(path, columns)
    _check_cache(arguments.cache, path)
    how = {"ordered": arguments.ordered, "fresh": arguments.fresh}
    return FileOutput(path, LocalDisk(), **how, columns=columns)


def _check_cache(cache: str | None, output: Path) -> None:
    """Each of them would write over the other."""
    if cache in {None, "memory"} or not output.name:
        return
    taken = {os.path.realpath(path) for path in (output, journal_of(output))}
    if os.path.realpath(Path(f"{cache}").expanduser()) in taken:
        raise ConfigError(f"--cache {cache} is the output or its journal; give it another path")


def _open_pipe(path: Path, columns: Columns) -> PipeOutput:
    try:
        return PipeOutput(path.open("wb"), closes=True, columns=columns)
    except OSError as error:
        said = f"cannot write the output {path}: {error.strerror}; give another -o"
        raise ConfigError(said) from None


@contextmanager
def _on_signals(call: Callable[[], object]) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a terminal that is closed cancel the run once; the second one kills it.

    Killed, since whatever a kill leaves can be resumed, and no ``KeyboardInterrupt`` strikes
    between two steps that belong together. Handlers of the loop would wait for it for as long as
    it waits for a reader of the output.
    """
    loop = asyncio.get_running_loop()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # else somebody (nohup) wants it ignored
        numbers.append(signal.SIGHUP)

    def once(*_: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        loop.call_soon_threadsafe(call)

    before = {}
    try:
        with suppress(ValueError):  # only the first thread can have them
            for number in numbers:
                before[number] = signal.signal(number, once)
        yield
    finally:
        for number, earlier in before.items():
            if signal.getsignal(number) is once:
                signal.signal(number, earlier)


def _sentence(error: RunStoppedError | OSError) -> str:
    if isinstance(error, RunStoppedError):
        return in_flags(str(error))
    if isinstance(error, BrokenPipeError):
        return "nobody reads the output any more"
    where = f"{error.filename}: " if error.filename else ""
    said = f"{where}{error.strerror or error}"
    return f"the input or the output cannot be used any more ({said}); {remedy(error)}"


def _let_go_of_stdout() -> None:
    """Nobody reads it any more; without this the interpreter's last flush would complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
