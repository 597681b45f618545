"""What the library says of Python arguments, said with the flags of the same meaning."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import argparse

_FLAGS: Final = {
    "api_key=": "--api-key-env NAME",
    "base_url=": "--base-url URL",
    "allow_http=True": "--allow-http",
    "ca_file=": "--ca-file PATH",
    "proxy=": "--proxy URL",
    "of model_weights": "of --model-weights",
    "needs model_weights": "needs --model-weights",
    "use model_weights": "use --model-weights",
    "base_url and api_key": "--base-url and --api-key-env",
    "check base_url": "check --base-url",
    "the base_url": "--base-url",
    "of base_url": "of --base-url",
    "set base_url": "set --base-url",
}
# What a sentence about one argument begins with.
_ARGUMENT: Final = re.compile(r"(params: )?([a-z_]+)(?=[: ]|\.[a-z_]+: )")


def in_flags(said: str) -> str:
    """A sentence that tells what to do, with flags for the Python arguments in it."""
    for argument, flag in _FLAGS.items():
        said = said.replace(argument, flag)
    return said


def about_flag(said: str, arguments: argparse.Namespace) -> str:
    """``in_flags`` of a sentence that may begin with the argument that is wrong."""
    said = in_flags(said)
    about = _ARGUMENT.match(said)
    if about is None:
        return said
    # Two flags are for a seed.
    name = "sampling_seed" if about[1] and about[2] == "seed" else about[2]
    return f"--{name.replace('_', '-')}{said[about.end() :]}" if name in arguments else said
