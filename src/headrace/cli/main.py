"""The command itself: flags, and what becomes of errors. Each command is loaded when it is called.

Exit codes: 0 all rows answered, 1 some rows failed, 2 bad usage, 3 stopped and resumable,
130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final, NoReturn

import orjson

from headrace import __version__
from headrace.cli import say
from headrace.cli.flags import about_flag
from headrace.core.errors import ConfigError
from headrace.core.operations import INPUT_TYPES
from headrace.core.spelling import ELSEWHERE, near

if TYPE_CHECKING:
    from collections.abc import Sequence

BAD_USAGE: Final = 2
STOPPED: Final = 3
INTERRUPTED: Final = 130
_BREAKER: Final = "an object with some of failures, first_break, longest_break, probes, counts"
COMMANDS: Final = ("run", "embed", "limits", "demo")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; ``argv`` is without the program's name."""
    words = sys.argv[1:] if argv is None else argv
    known = parser()
    known.check_command(words)
    arguments, rest = known.parse_known_args(words)
    if rest:
        arguments.command.refuse(rest[0], arguments)
    debug = bool(os.environ.get("HEADRACE_DEBUG"))
    if not debug:
        _keep_tracebacks_away()
    try:
        code: int = importlib.import_module(arguments.module).execute(arguments)
    except KeyboardInterrupt:
        say.line("Interrupted.")
        return INTERRUPTED
    except Exception as error:
        if debug:
            raise
        return _tell(error, arguments)
    return code


def _tell(error: Exception, arguments: argparse.Namespace) -> int:
    """Say in one sentence what went wrong, and give its exit code."""
    if isinstance(error, ConfigError):
        say.line(f"headrace: {about_flag(str(error), arguments)}")
        return BAD_USAGE
    said = f"headrace: {type(error).__name__}: {error}"
    say.line(f"{said} (unforeseen; set HEADRACE_DEBUG=1 for the traceback)")
    return STOPPED


class Warnings(logging.Handler):
    """Says what was logged in one line, without the traceback."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        say.line(f"headrace: {record.getMessage()}")


def _keep_tracebacks_away() -> None:
    """Logged tracebacks are for those who ask for them; a row's error is in its line."""
    for name, instead in (
        ("headrace", Warnings(logging.WARNING)),
        ("asyncio", logging.NullHandler()),
    ):
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(instead)


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence; the usage is in ``--help``."""

    def error(self, message: str) -> NoReturn:
        """Exit with code 2."""
        say.line(f"{self.prog}: {message}; {self.prog} --help lists what there is")
        self.exit(BAD_USAGE)

    def check_command(self, words: Sequence[str]) -> None:
        """Exit with code 2 when the first word is no command."""
        word = words[0] if words else "-"
        if not word.startswith("-") and word not in COMMANDS:
            like = near(word, COMMANDS)
            guess = "" if like is None else f" (did you mean {like}?)"
            self.error(f"there is no command {word}{guess}")

    def refuse(self, word: str, arguments: argparse.Namespace) -> NoReturn:
        """Exit with code 2 for a word that is no flag and no argument of this command."""
        flag = word.partition("=")[0]
        names = vars(arguments).keys() - {"command", "input", "module"}
        meant = ELSEWHERE.get(flag.lstrip("-").replace("-", "_"), "")
        flags = {name: f"--{name.replace('_', '-')}" for name in names}
        like = flags.get(meant) or near(flag, sorted(flags.values()))
        guess = f" (did you mean {like}?)" if like is not None and flag.startswith("-") else ""
        self.error(f"there is nothing to do with {word}{guess}")


class NoKeysHere(argparse.Action):
    """Refuses a key on the command line, where every user of the machine can read it."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """Exit with code 2, without repeating the key."""
        parser.error(
            "a key on the command line can be read by others;"
            " put it into an environment variable and give --api-key-env NAME"
        )


def parser() -> Parser:
    """All commands and their flags."""
    made = Parser(
        prog="headrace",
        description="Pushes prompts through language-model APIs in bulk.",
        allow_abbrev=False,
    )
    made.add_argument("--version", action="version", version=f"headrace {__version__}")
    commands = made.add_subparsers(required=True, parser_class=Parser, title="commands")
    run = _add_bulk(
        commands,
        "run",
        "answer a file of prompts",
        "Answers every row of a JSONL file. The same command again goes on.",
    )
    run.add_argument("--tools", metavar="FILE", help="what the model may call, a JSON list")
    run.add_argument("--output-schema", metavar="FILE", help="JSON schema of each answer")
    sampling = run.add_argument_group("sampling (what is not given is not sent)")
    _add_sampling(sampling)
    _add_extras(sampling)
    embed = _add_bulk(
        commands,
        "embed",
        "turn a file of texts into vectors",
        "Gives each text of a JSONL file its vector. The same command again goes on.",
    )
    vectors = embed.add_argument_group("vectors (what is not given is not sent)")
    vectors.add_argument("--dimensions", type=whole, metavar="N", help="how long vectors shall be")
    vectors.add_argument("--input-type", metavar="TYPE", help=", ".join(INPUT_TYPES))
    _add_extras(vectors)
    _add_limits(commands)
    demo = commands.add_parser(
        "demo",
        help="answer some prompts with a small model on this machine",
        description="Answers some prompts with SmolLM2 on this machine; no key is needed.",
        allow_abbrev=False,
    )
    demo.set_defaults(module="headrace.cli.demo", command=demo)
    _add_demo(demo)
    return made


def _add_bulk(
    commands: argparse._SubParsersAction[Parser], name: str, gist: str, description: str
) -> Parser:
    """A command for many rows."""
    made = commands.add_parser(name, help=gist, description=description, allow_abbrev=False)
    made.set_defaults(module=f"headrace.cli.{name}", command=made)
    _add_files(made)
    _add_client_options(made.add_argument_group("the client"))
    return made


def _add_files(run: argparse.ArgumentParser) -> None:
    run.add_argument("input", metavar="IN.jsonl", help="the rows, one a line; - for stdin")
    run.add_argument(
        "-m", "--model", action="append", required=True, help='"endpoint/model"; may be repeated'
    )
    run.add_argument(
        "-o",
        "--output",
        metavar="OUT.jsonl",
        required=True,
        help="the answers; - for stdout (then without a journal)",
    )
    run.add_argument("--ordered", action="store_true", help="answers in the order of the input")
    run.add_argument(
        "--fresh", action="store_true", help="remove the output and its journal and start over"
    )
    _add_loudness(run)


def _add_loudness(command: argparse.ArgumentParser) -> None:
    command.add_argument("--no-progress", action="store_true", help="no progress bar")
    command.add_argument("--quiet", action="store_true", help="no progress bar and no summary")


def _add_client_options(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--model-weights", type=weights, metavar="W,W,…", help="one number for each model")
    add("--price", type=price, metavar="INPUT,OUTPUT", help="of -m, in USD per million tokens")
    add("--base-url", metavar="URL", help="where a server is that is not in the registry")
    add("--api-key-env", metavar="NAME", help="the environment variable that holds the API key")
    add("--api-key", action=NoKeysHere, help=argparse.SUPPRESS)
    add("--rows", metavar="FILE", help="more endpoints, models and aliases, as TOML")
    add("--max-requests-per-minute", type=number, metavar="N", help="in all; else found out")
    add("--max-tokens-per-minute", type=number, metavar="N", help="in all, input and output")
    add("--max-concurrent-requests", type=whole, metavar="N", help="in flight; else found out")
    add("--max-attempts", type=whole, metavar="N", help="for each row; 5 if not given")
    add("--request-timeout", type=number, metavar="S", help="of one attempt; 600 s if not given")
    add("--deadline", type=number, metavar="S", help="the whole life of a row")
    add("--patience", type=number, metavar="S", help="with a server that gives nothing; 900 s")
    add("--shared-limits", metavar="PLACE", help="a file or a Redis URL, for several processes")
    add("--breaker", type=breaker, metavar="JSON", help=_BREAKER)
    add("--hedge", type=hedge, metavar="SHARE", help="send slow requests twice; 0.05, or JSON")
    add("--cache", metavar="PATH", help='a file that keeps answers, or "memory"')
    add("--coalesce", action=argparse.BooleanOptionalAction, help="identical rows share an answer")
    add("--spill", action="store_true", help="leave a drawn model that is full for another")
    add("--remember-limits", action=argparse.BooleanOptionalAction, help="for the next run")
    add("--seed", type=whole, metavar="N", help="of the draw of weighted models")
    add("--allow-http", action="store_true", help="plain http to other machines")
    add("--proxy", metavar="URL")
    add("--ca-file", metavar="PATH", help="certificates to trust")
    add("--trust-env", action="store_true", help="take the proxy from the environment")


def _add_sampling(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--max-tokens", type=whole, metavar="N", help="the bound of an answer's length")
    add("--temperature", type=number, metavar="T")
    add("--top-p", type=number, metavar="P")
    add("--top-k", type=whole, metavar="K")
    add("--min-p", type=number, metavar="P")
    add("--stop", action="append", metavar="TEXT", help="may be repeated")
    add("--sampling-seed", type=whole, metavar="N", help="sent to the model")
    add("--frequency-penalty", type=number, metavar="F")
    add("--presence-penalty", type=number, metavar="F")
    add("--reasoning-effort", metavar="EFFORT", help="none, minimal, low, medium, high, xhigh, max")
    add("--thinking-budget", type=whole, metavar="N", help="tokens to think with")
    add("--tool-choice", metavar="CHOICE", help="auto, none, required, or the name of a tool")
    add("--parallel-tool-calls", action=argparse.BooleanOptionalAction)
    add("--logprobs", action=argparse.BooleanOptionalAction)
    add("--top-logprobs", type=whole, metavar="N")
    add("--prompt-caching", metavar="WHERE", help="automatic, system_and_tools, last_user_message")
    add("--safety-settings", type=json_object, metavar="JSON", help="category to threshold")
    add("--service-tier", metavar="TIER")


def _add_extras(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--on-unsupported", metavar="WHAT", help="adapt (if not given) or error")
    add("--extra-headers", type=json_object, metavar="JSON", help="sent with each request")
    add("--extra-body", type=json_object, metavar="JSON", help="merged into each request's body")


def _add_limits(commands: argparse._SubParsersAction[Parser]) -> None:
    limits = commands.add_parser(
        "limits",
        help="show or forget what earlier runs found out of limits",
        description="Shows what is remembered of limits, which is where the next run begins.",
        allow_abbrev=False,
    )
    limits.set_defaults(module="headrace.cli.limits", command=limits, names=None)
    limits.add_argument("--json", action="store_true", help="one JSON object a line")
    more = limits.add_subparsers(parser_class=Parser, title="commands")
    forget = more.add_parser(
        "forget",
        help="remember some of it no longer",
        description="Forgets the limits of some routes, or of all.",
        allow_abbrev=False,
    )
    forget.set_defaults(command=forget)
    forget.add_argument("names", nargs="*", metavar="ENDPOINT/MODEL", help="as they are shown")
    forget.add_argument("--all", action="store_true", help="everything, damaged files too")


def _add_demo(demo: argparse.ArgumentParser) -> None:
    demo.add_argument(
        "--rows", type=whole, default=32, metavar="N", help="how many; 32 if not given"
    )
    demo.add_argument(
        "-o",
        "--output",
        default="headrace-demo/answers.jsonl",
        metavar="OUT.jsonl",
        help="headrace-demo/answers.jsonl if not given; the prompts are written beside it",
    )
    demo.add_argument("--fresh", action="store_true", help="start over")
    _add_loudness(demo)


def weights(text: str) -> tuple[float, ...]:
    """Read ``3,1``; raises ``ArgumentTypeError`` for anything else."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError("give numbers with commas between, such as 3,1") from None


def number(text: str) -> float:
    """Read a number; raises ``ArgumentTypeError`` for anything else."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"give a number, such as 600, not {text!r}") from None


def whole(text: str) -> int:
    """Read a whole number; raises ``ArgumentTypeError`` for anything else."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"give a whole number, such as 5, not {text!r}") from None


def price(text: str) -> tuple[Decimal, Decimal]:
    """Read ``0.40,1.60``; raises ``ArgumentTypeError`` for anything else."""
    try:
        of_input, of_output = (Decimal(part) for part in text.split(","))
    except (ValueError, InvalidOperation):
        of_input = of_output = Decimal("nan")
    if not all(each.is_finite() and each >= 0 for each in (of_input, of_output)):
        raise argparse.ArgumentTypeError(
            "give two prices in USD per million tokens with a comma between, such as 0.40,1.60"
        )
    return of_input, of_output


def hedge(text: str) -> dict[str, object]:
    """Read what second copies may cost: a share of all that is spent, or a JSON object."""
    try:
        return {"share": float(text)}
    except ValueError:
        return json_object(text, 'such as {"share": 0.05}, or the share alone')


def breaker(text: str) -> dict[str, object]:
    """Read the settings of a breaker; raises ``ArgumentTypeError`` for what is no JSON object."""
    return json_object(text, 'such as {"failures": 3, "longest_break": 30}')


def json_object(text: str, such_as: str = 'such as {"n_probs": 3}') -> dict[str, object]:
    """Read a JSON object; raises ``ArgumentTypeError`` for anything else."""
    try:
        value = orjson.loads(text)  # unlike json it takes no NaN, which is no JSON
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"give a JSON object, {such_as}")
    return value


if __name__ == "__main__":
    sys.exit(main())
