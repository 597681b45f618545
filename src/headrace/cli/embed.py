"""``headrace embed``: from a file of texts to a file of vectors, in the way of ``headrace run``."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from headrace.cli.lines import EMBEDDINGS
from headrace.cli.run import Kind, carry_out
from headrace.cli.texts import TEXTS

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from headrace.client import LLMClient
    from headrace.engine.streams import ResponseStream


def execute(arguments: Namespace) -> int:
    """Turn every text into a vector; see ``carry_out``."""
    return carry_out(arguments, Kind(TEXTS, EMBEDDINGS, _opener))


def _opener(client: LLMClient, arguments: Namespace) -> Callable[..., ResponseStream]:
    opens = partial(
        client.embed_stream, dimensions=arguments.dimensions, input_type=arguments.input_type
    )
    opens(())  # what cannot be asked of these models is told before a file is touched
    return opens
